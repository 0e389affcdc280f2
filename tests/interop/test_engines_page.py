"""docs/engines.md says what was run, and of the versions and tests that there are now."""

from __future__ import annotations

import json

import engines_page
from recipes import load

AGAIN = "it is stale: run `scripts/interop --write` where the engines are"


def test_the_page_is_the_one_of_the_results() -> None:
    results = json.loads(engines_page.RESULTS.read_text())
    assert engines_page.PAGE.read_text() == engines_page.page(results), AGAIN


def test_every_claim_of_a_test_was_run_with_the_version_that_is_installed_now() -> None:
    results = json.loads(engines_page.RESULTS.read_text())
    ran = {(row["engine"], row["version"], row["tested"]) for row in results}
    claimed = {(engine, load(engine).version, tested) for engine, tested in engines_page.claims()}
    assert ran == claimed, AGAIN


def test_results_of_other_versions_and_of_tests_that_are_gone_are_left_out() -> None:
    results = json.loads(engines_page.RESULTS.read_text())
    assert results
    other_version = {**results[0], "version": "0", "core": "another"}
    gone = {**results[0], "tested": "nothing that is still there"}
    assert engines_page.merged(results, [other_version, gone]) == results
