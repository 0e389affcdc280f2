"""The settings of a small site. Nothing in here is about tracing."""

from pathlib import Path

BASE_DIR = Path(__file__).parents[1]
SECRET_KEY = "only for this example"
DEBUG = True
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]
INSTALLED_APPS = ["books"]
MIDDLEWARE = ["django.middleware.common.CommonMiddleware"]
ROOT_URLCONF = "shelf.urls"
WSGI_APPLICATION = "shelf.wsgi.application"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": BASE_DIR / "shelf.db"}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"ids": {"format": "%(levelname)s %(message)s trace_id=%(trace_id)s", "defaults": {"trace_id": ""}}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "ids"}},
    "loggers": {"books": {"handlers": ["console"], "level": "INFO"}},
}
