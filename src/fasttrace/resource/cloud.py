"""The cloud: region, zone and service, from variables that the platform itself sets; nothing is asked for."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


def cloud(environ: Mapping[str, str]) -> dict[str, Any]:
    """What the first platform that is recognised says of itself."""
    for platform in (_lambda, _amazon, _functions, _container_apps, _app_service, _google, _heroku):
        found = platform(environ)
        if found:
            return {key: value for key, value in found.items() if value}
    return {}


def _lambda(environ: Mapping[str, str]) -> dict[str, Any]:
    get = environ.get
    name = get("AWS_LAMBDA_FUNCTION_NAME")
    if not name:
        return {}
    memory = get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "")
    group = get("AWS_LAMBDA_LOG_GROUP_NAME")
    return {
        "service.name": name,
        "cloud.provider": "aws",
        "cloud.platform": "aws_lambda",
        "cloud.region": get("AWS_REGION") or get("AWS_DEFAULT_REGION"),
        "faas.name": name,
        "faas.version": get("AWS_LAMBDA_FUNCTION_VERSION"),
        "faas.instance": get("AWS_LAMBDA_LOG_STREAM_NAME"),
        "faas.max_memory": int(memory) << 20 if memory.isascii() and memory.isdigit() else None,
        "aws.log.group.names": [group] if group else None,
    }


def _amazon(environ: Mapping[str, str]) -> dict[str, Any]:
    """ECS and EKS. A region alone says no more than where a client of Amazon's looks, on a laptop, too."""
    get = environ.get
    kind = get("AWS_EXECUTION_ENV", "")
    if get("ECS_CONTAINER_METADATA_URI_V4") or get("ECS_CONTAINER_METADATA_URI") or kind.startswith("AWS_ECS"):
        platform = "aws_ecs"
    elif "KUBERNETES_SERVICE_HOST" in environ and "eks.amazonaws.com" in (
        get("AWS_WEB_IDENTITY_TOKEN_FILE", "") + get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "")
    ):
        platform = "aws_eks"
    else:
        return {}
    return {
        "cloud.provider": "aws",
        "cloud.platform": platform,
        "cloud.region": get("AWS_REGION") or get("AWS_DEFAULT_REGION"),
        "cloud.availability_zone": get("AWS_AVAILABILITY_ZONE"),
        "aws.ecs.launchtype": {"AWS_ECS_FARGATE": "fargate", "AWS_ECS_EC2": "ec2"}.get(kind),
    }


def _google(environ: Mapping[str, str]) -> dict[str, Any]:
    """Cloud Run, its jobs and functions, and App Engine. Knative sets some of the same variables in a pod."""
    get = environ.get
    job, service, engine = get("CLOUD_RUN_JOB"), get("K_SERVICE"), get("GAE_SERVICE")
    function = get("FUNCTION_NAME") or (service if get("FUNCTION_TARGET") else "")
    if "KUBERNETES_SERVICE_HOST" in environ or not (job or service or engine or function):
        return {}
    found: dict[str, Any] = {
        "service.name": job or engine or service or function,
        "cloud.provider": "gcp",
        "cloud.region": get("GOOGLE_CLOUD_REGION") or get("CLOUD_RUN_REGION") or get("FUNCTION_REGION"),
        "cloud.account.id": get("GOOGLE_CLOUD_PROJECT") or get("GCP_PROJECT"),
    }
    if engine:
        found["cloud.platform"] = "gcp_app_engine"
        found["service.version"] = get("GAE_VERSION")
        found["faas.instance"] = get("GAE_INSTANCE")
        return found
    found["cloud.platform"] = "gcp_cloud_functions" if function else "gcp_cloud_run"
    found["faas.name"] = job or service or function
    found["faas.version"] = get("K_REVISION") or get("CLOUD_RUN_EXECUTION")
    return found


def _azure(platform: str, region: str | None, **attributes: str | None) -> dict[str, Any]:
    found: dict[str, Any] = {"cloud.provider": "azure", "cloud.platform": f"azure.{platform}", "cloud.region": region}
    found.update((name.replace("_", "."), value) for name, value in attributes.items())
    return found


def _functions(environ: Mapping[str, str]) -> dict[str, Any]:
    get = environ.get
    if not get("FUNCTIONS_WORKER_RUNTIME") or not get("WEBSITE_SITE_NAME"):
        return {}
    name = get("WEBSITE_SITE_NAME")
    return _azure(
        "functions", get("REGION_NAME"), service_name=name, faas_name=name, faas_instance=get("WEBSITE_INSTANCE_ID")
    )


def _container_apps(environ: Mapping[str, str]) -> dict[str, Any]:
    get = environ.get
    name = get("CONTAINER_APP_NAME")
    if not name:
        return {}
    # ENVIRONMENT.REGION.azurecontainerapps.io
    region = get("CONTAINER_APP_ENV_DNS_SUFFIX", "").split(".")[1:2]
    return _azure(
        "container_apps",
        region[0] if region else None,
        service_name=name,
        service_version=get("CONTAINER_APP_REVISION"),
    )


def _app_service(environ: Mapping[str, str]) -> dict[str, Any]:
    get = environ.get
    name = get("WEBSITE_SITE_NAME")
    if not name:
        return {}
    return _azure(
        "app_service",
        get("REGION_NAME"),
        service_name=name,
        host_id=get("WEBSITE_INSTANCE_ID"),
        deployment_environment_name=get("WEBSITE_SLOT_NAME"),
    )


def _heroku(environ: Mapping[str, str]) -> dict[str, Any]:
    get = environ.get
    if not get("DYNO") or not get("HEROKU_APP_NAME"):
        return {}
    return {
        "cloud.provider": "heroku",
        "service.name": get("HEROKU_APP_NAME"),
        "service.version": get("HEROKU_RELEASE_VERSION"),
        "heroku.app.id": get("HEROKU_APP_ID"),
    }
