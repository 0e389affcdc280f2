"""Region, zone and service in the variables that clouds set themselves."""

from __future__ import annotations

import pytest

from fasttrace.resource.cloud import cloud

PLATFORMS = {
    "lambda": (
        {
            "AWS_LAMBDA_FUNCTION_NAME": "resize",
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
            "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/resize",
            "AWS_LAMBDA_LOG_STREAM_NAME": "2025/06/01/[$LATEST]d1ac",
            "AWS_REGION": "eu-west-1",
            "AWS_EXECUTION_ENV": "AWS_Lambda_python3.12",
        },
        {
            "service.name": "resize",
            "cloud.provider": "aws",
            "cloud.platform": "aws_lambda",
            "cloud.region": "eu-west-1",
            "faas.name": "resize",
            "faas.version": "$LATEST",
            "faas.instance": "2025/06/01/[$LATEST]d1ac",
            "faas.max_memory": 134217728,
            "aws.log.group.names": ["/aws/lambda/resize"],
        },
    ),
    "ecs": (
        {
            "ECS_CONTAINER_METADATA_URI_V4": "http://169.254.170.2/v4/x",
            "AWS_EXECUTION_ENV": "AWS_ECS_FARGATE",
            "AWS_REGION": "us-east-1",
        },
        {
            "cloud.provider": "aws",
            "cloud.platform": "aws_ecs",
            "cloud.region": "us-east-1",
            "aws.ecs.launchtype": "fargate",
        },
    ),
    "eks": (
        {
            "KUBERNETES_SERVICE_HOST": "10.0.0.1",
            "AWS_WEB_IDENTITY_TOKEN_FILE": "/var/run/secrets/eks.amazonaws.com/serviceaccount/token",
            "AWS_REGION": "us-east-1",
        },
        {"cloud.provider": "aws", "cloud.platform": "aws_eks", "cloud.region": "us-east-1"},
    ),
    "cloud run": (
        {"K_SERVICE": "shop", "K_REVISION": "shop-00042-abc", "K_CONFIGURATION": "shop", "PORT": "8080"},
        {
            "service.name": "shop",
            "cloud.provider": "gcp",
            "cloud.platform": "gcp_cloud_run",
            "faas.name": "shop",
            "faas.version": "shop-00042-abc",
        },
    ),
    "cloud run job": (
        {"CLOUD_RUN_JOB": "nightly", "CLOUD_RUN_EXECUTION": "nightly-x7", "GOOGLE_CLOUD_REGION": "europe-west1"},
        {
            "service.name": "nightly",
            "cloud.provider": "gcp",
            "cloud.platform": "gcp_cloud_run",
            "cloud.region": "europe-west1",
            "faas.name": "nightly",
            "faas.version": "nightly-x7",
        },
    ),
    "google function": (
        {"K_SERVICE": "resize", "K_REVISION": "resize-1", "FUNCTION_TARGET": "main", "GCP_PROJECT": "acme"},
        {
            "service.name": "resize",
            "cloud.provider": "gcp",
            "cloud.platform": "gcp_cloud_functions",
            "cloud.account.id": "acme",
            "faas.name": "resize",
            "faas.version": "resize-1",
        },
    ),
    "app engine": (
        {"GAE_SERVICE": "default", "GAE_VERSION": "20250601", "GAE_INSTANCE": "i1", "GOOGLE_CLOUD_PROJECT": "acme"},
        {
            "service.name": "default",
            "service.version": "20250601",
            "cloud.provider": "gcp",
            "cloud.platform": "gcp_app_engine",
            "cloud.account.id": "acme",
            "faas.instance": "i1",
        },
    ),
    "azure app service": (
        {"WEBSITE_SITE_NAME": "shop", "REGION_NAME": "West Europe", "WEBSITE_SLOT_NAME": "Production"},
        {
            "service.name": "shop",
            "cloud.provider": "azure",
            "cloud.platform": "azure.app_service",
            "cloud.region": "West Europe",
            "deployment.environment.name": "Production",
        },
    ),
    "azure functions": (
        {"WEBSITE_SITE_NAME": "resize", "FUNCTIONS_WORKER_RUNTIME": "python", "WEBSITE_INSTANCE_ID": "d1"},
        {
            "service.name": "resize",
            "cloud.provider": "azure",
            "cloud.platform": "azure.functions",
            "faas.name": "resize",
            "faas.instance": "d1",
        },
    ),
    "azure container apps": (
        {
            "CONTAINER_APP_NAME": "shop",
            "CONTAINER_APP_REVISION": "shop--a1",
            "CONTAINER_APP_ENV_DNS_SUFFIX": "happyhill-70162bb9.westeurope.azurecontainerapps.io",
        },
        {
            "service.name": "shop",
            "service.version": "shop--a1",
            "cloud.provider": "azure",
            "cloud.platform": "azure.container_apps",
            "cloud.region": "westeurope",
        },
    ),
    "heroku": (
        {"DYNO": "web.1", "HEROKU_APP_NAME": "shop", "HEROKU_RELEASE_VERSION": "v42"},
        {"cloud.provider": "heroku", "service.name": "shop", "service.version": "v42"},
    ),
}


@pytest.mark.parametrize("name", PLATFORMS)
def test_a_platform_is_known_by_its_own_variables(name: str) -> None:
    environ, expected = PLATFORMS[name]
    assert cloud(environ) == expected


def test_the_region_of_a_client_says_nothing_of_where_the_process_runs() -> None:
    assert cloud({"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "eu-west-1", "GOOGLE_CLOUD_PROJECT": "acme"}) == {}


def test_knative_in_a_cluster_is_not_cloud_run() -> None:
    assert cloud({"K_SERVICE": "shop", "K_REVISION": "shop-1", "KUBERNETES_SERVICE_HOST": "10.0.0.1"}) == {}
