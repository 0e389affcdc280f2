"""What is read of SQL: no literals, the operation, the table."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fasttrace.integrations._statement import MAX_CHARACTERS, MAX_KNOWN, Statements, statements_of

NAMES = {
    "SELECT * FROM orders WHERE id = 17": "SELECT orders",
    'select a.b from public."Orders" a join customers c on c.id = a.c': "SELECT public.Orders",
    "SELECT extract(year FROM created) FROM orders": "SELECT orders",
    "SELECT a FROM t WHERE a IS DISTINCT FROM b": "SELECT t",
    "WITH recent AS (SELECT * FROM orders) SELECT * FROM recent": "SELECT orders",
    "WITH old AS (SELECT id FROM orders) DELETE FROM archive USING old": "DELETE archive",
    "SELECT * FROM (SELECT * FROM orders) AS x": "SELECT orders",
    "INSERT INTO orders (id) VALUES (1)": "INSERT orders",
    "INSERT OR REPLACE INTO orders VALUES (?)": "INSERT orders",
    "REPLACE INTO `orders` VALUES (1)": "REPLACE orders",
    "update only orders set a = 1": "UPDATE orders",
    "SELECT a FROM t FOR UPDATE": "SELECT t",
    "DELETE FROM orders": "DELETE orders",
    "CREATE TABLE IF NOT EXISTS orders (id int)": "CREATE TABLE orders",
    "CREATE UNIQUE INDEX by_name ON orders (name)": "CREATE INDEX by_name",
    "DROP TABLE orders": "DROP TABLE orders",
    "TRUNCATE orders": "TRUNCATE orders",
    "COPY orders FROM STDIN": "COPY orders",
    "/* route='/x' */ SELECT 1": "SELECT",
    "BEGIN": "BEGIN",
    "(SELECT a FROM orders) UNION (SELECT 1)": "SELECT orders",
    "": "query",
    "   ": "query",
}

TEXTS = {
    "SELECT * FROM t WHERE a = 'O''Brien' AND b=-1.5e-10": "SELECT * FROM t WHERE a = ? AND b=-?",
    "SELECT $1, :name, %(name)s, %s, ?, ?1, @x": "SELECT $1, :name, %(name)s, %s, ?, ?1, @x",
    "SELECT a1, t2.b3 FROM t2 LIMIT 10": "SELECT a1, t2.b3 FROM t2 LIMIT ?",
    "SELECT E'it\\'s', N'x', X'ff', U&'\\0041', 0xff": "SELECT ?, ?, ?, ?, ?",
    "SELECT $$secret$$, $tag$se$$cret$tag$": "SELECT ?, ?",
    "SELECT 1 -- 'secret'\nFROM t /* secret */": "SELECT ?  \nFROM t",
    "SELECT 'unfinished secret": "SELECT ?",
    "SELECT E'unfinished secret\\": "SELECT ?",
    "SELECT $$unfinished secret": "SELECT ?",
    "SELECT 1 /* unfinished secret": "SELECT ?",
    "SELECT '5'::int, a::text": "SELECT ?::int, a::text",
    'SELECT "a""b" FROM "t"': 'SELECT "a""b" FROM "t"',
}


@pytest.mark.parametrize(("query", "name"), NAMES.items())
def test_a_statement_is_named_by_its_operation_and_table(query: str, name: str) -> None:
    assert statements_of("postgresql").of(query).name == name


@pytest.mark.parametrize(("query", "text"), TEXTS.items())
def test_literals_and_comments_are_not_shown_and_parameters_are(query: str, text: str) -> None:
    assert statements_of("postgresql").of(query).attributes["db.query.text"] == text


def test_the_table_is_told_only_when_it_is_the_only_one() -> None:
    of = statements_of("postgresql").of
    assert of("SELECT a FROM orders").attributes["db.collection.name"] == "orders"
    assert "db.collection.name" not in of("SELECT a FROM orders JOIN items USING (id)").attributes


def test_mysql_escapes_by_backslash_and_has_strings_in_double_quotes() -> None:
    query = "SELECT * FROM t WHERE a = \"sec\\\"ret\" AND b = 'x\\' secret' # 'secret'"
    assert statements_of("mysql").of(query).attributes["db.query.text"] == "SELECT * FROM t WHERE a = ? AND b = ?"


def test_strings_that_only_one_database_has_are_not_shown_either() -> None:
    oracle = "SELECT q'[it's secret]', Q'!secret 's!', nq'<secret's>', q'{s''}', q'(s\n's)' FROM t WHERE a = 'b'"
    assert statements_of("oracle.db").of(oracle).attributes["db.query.text"] == (
        "SELECT ?, ?, ?, ?, ? FROM t WHERE a = ?"
    )
    assert statements_of("oracle.db").of("SELECT q'[secret's").attributes["db.query.text"] == "SELECT ?"
    clickhouse = "SELECT $$it's secret$$, $here$secret$$s$here$ FROM t"
    assert statements_of("clickhouse").of(clickhouse).attributes["db.query.text"] == "SELECT ?, ? FROM t"


def test_where_double_quotes_may_be_those_of_a_string_no_text_is_shown() -> None:
    statement = Statements("bigquery").of('SELECT * FROM t WHERE a = "secret"')
    assert statement.name == "SELECT t"
    assert "db.query.text" not in statement.attributes
    assert Statements("bigquery").of("SELECT a FROM `t`").attributes["db.query.text"] == "SELECT a FROM `t`"


def test_where_a_backslash_may_or_may_not_escape_no_text_is_shown() -> None:
    statement = Statements("another").of("SELECT * FROM t WHERE a = 'x\\' AND b = ' secret'")
    assert statement.name == "SELECT t"
    assert "db.query.text" not in statement.attributes


@given(st.lists(st.text(alphabet="aé'\\\"$ \n-/*", max_size=12), max_size=4))
def test_no_character_of_a_quoted_value_is_ever_shown(values: list[str]) -> None:
    quoted = ["'" + value.replace("'", "''") + "'" for value in values]
    tagged = [f"$q${value}$q$" for value in values if "$" not in value]
    query = "SELECT * FROM t WHERE c IN (" + ", ".join([*quoted, *tagged]) + ")"
    shown = Statements("postgresql").of(query).attributes["db.query.text"]
    assert shown == "SELECT * FROM t WHERE c IN (" + ", ".join("?" * (len(quoted) + len(tagged))) + ")"


@given(st.text(alphabet="SELECT FROM()'\"$\\`é1.-/*:?E\n", max_size=60))
def test_whatever_it_is_it_is_read(query: str) -> None:
    for system in ("postgresql", "mysql", "another"):
        assert Statements(system).of(query).name


def test_bytes_and_what_is_no_statement_at_all_are_read_too() -> None:
    of = Statements("postgresql").of
    assert of(b"SELECT a FROM t").name == "SELECT t"
    assert of(None).name == of(17).name == "query"


def test_statements_with_values_in_them_do_not_fill_the_memory() -> None:
    statements = Statements("sqlite")
    for number in range(3 * MAX_KNOWN):
        statements.of(f"SELECT {number}")
    assert len(statements._known) <= MAX_KNOWN
    before = len(statements._known)
    long = statements.of("SELECT a FROM t WHERE b = '" + "x" * 10 * MAX_CHARACTERS + "'")
    assert long.attributes["db.query.text"] == "SELECT a FROM t WHERE b = ?"
    assert len(statements._known) == before
