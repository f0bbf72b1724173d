"""The program's settings for the baselines: same database, own routes, hardly any middleware."""

from vpass.settings import *  # noqa: F403

ROOT_URLCONF = "tests.bench.baselines.urls"
MIDDLEWARE = ["django.middleware.common.CommonMiddleware"]  # says Content-Length
