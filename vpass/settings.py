"""Every setting, from the environment, with working defaults for all but secrets.

Without `DATABASE_URL` the program is in embedded mode: PostgreSQL, Redis and all secrets live under
the state directory (`.local/` of the checkout, or `VPASS_STATE_DIR`) and are made at first start.
With it, a site gives its own engines and every secret, or the program refuses to start.
"""

import json
import os
from datetime import timedelta
from pathlib import Path
from urllib.parse import unquote, urlsplit

from vpass import embedded, secrets

BASE_DIR = Path(__file__).resolve().parent.parent
STATE_DIR = Path(os.environ.get("VPASS_STATE_DIR", BASE_DIR / ".local"))
IS_EMBEDDED = "DATABASE_URL" not in os.environ

# Secrets (README.md names each variable)
SECRETS = secrets.load(os.environ, STATE_DIR)
SECRET_KEY = SECRETS.django_secret_key
METRICS_TOKEN = SECRETS.metrics_token

# Who we are
CITY = os.environ.get("VPASS_CITY", "weifang")
PUBLIC_URL = os.environ.get("PUBLIC_URL", "http://127.0.0.1:8000").rstrip("/")
IS_HTTPS = PUBLIC_URL.startswith("https://")
DEBUG = os.environ.get("VPASS_DEBUG") == "1"
ALLOWED_HOSTS = [urlsplit(PUBLIC_URL).hostname or "localhost", "127.0.0.1", "localhost"]

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.staticfiles",
    "django_otp",
    "django_otp.plugins.otp_totp",
    "oauth2_provider",
    "rest_framework",
    "drf_spectacular",
    "vpass",
    "vpass.common",
    "identity",
    "cards",
    "payments",
    "services",
    "services.iot",
]

MIDDLEWARE = [
    "vpass.common.observability.RequestIdMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "vpass.common.content_policy.ContentPolicyMiddleware",
]

ROOT_URLCONF = "vpass.urls"
WSGI_APPLICATION = "vpass.wsgi.application"
APPEND_SLASH = False

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": False,
        "OPTIONS": {"context_processors": ["django.template.context_processors.request"]},
    }
]

# PostgreSQL: the program runs as the application's role; migrations run as the owner of the schema.
DATABASE_URL = os.environ.get("DATABASE_URL") or embedded.database_url(STATE_DIR)
DATABASE_OWNER_URL = os.environ.get("DATABASE_OWNER_URL") or (
    embedded.owner_url(STATE_DIR) if IS_EMBEDDED else DATABASE_URL
)


def database(url: str) -> dict[str, object]:
    """Django's dictionary for a PostgreSQL URL; `host` in the query is a Unix socket's folder."""
    parts = urlsplit(url)
    query = dict(item.partition("=")[::2] for item in parts.query.split("&") if item)
    host = unquote(query.pop("host", "")) or parts.hostname or ""
    return {
        "ENGINE": "vpass.common.postgresql",
        "NAME": unquote(parts.path.lstrip("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": host,
        "PORT": str(parts.port or ""),
        "OPTIONS": {"connect_timeout": 3, **{key: unquote(value) for key, value in query.items()}},
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
        "TEST": {"NAME": unquote(parts.path.lstrip("/"))},
    }


DATABASES = {
    "default": database(
        DATABASE_OWNER_URL if os.environ.get("VPASS_ROLE") == "owner" else DATABASE_URL
    )
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# The broker is a doorbell only: losing it loses nothing.
REDIS_URL = os.environ.get("REDIS_URL") or embedded.redis_url(STATE_DIR)
BROKER_URL = os.environ.get("BROKER_URL") or REDIS_URL.replace("unix://", "redis+socket://")

# The outside world
REGISTER_URL = os.environ.get("REGISTER_URL", "http://127.0.0.1:8100/register")
REGISTER_KEY_ID = os.environ.get("REGISTER_KEY_ID", "register-1")
REGISTER_PUBLIC_KEY_PEM = SECRETS.register_public_key_pem
# Who checks faces against the register's photos (without it: at a counter only), and whose word on
# keys in phones' chips counts.
LIVENESS_URL = os.environ.get("LIVENESS_URL") or (
    "" if os.environ.get("REGISTER_URL") else "http://127.0.0.1:8100/liveness"
)
LIVENESS_KEY_ID = os.environ.get("LIVENESS_KEY_ID", "liveness-1")
LIVENESS_PUBLIC_KEY_PEM = SECRETS.liveness_public_key_pem
LIVENESS_SUBJECT_KEY = SECRETS.liveness_subject_key
ATTESTATION_ROOTS = SECRETS.attestation_roots
SMS_URL = os.environ.get("SMS_URL", "http://127.0.0.1:8100/sms")
# The sandbox's web sites where residents log in; demo registrations alone lead there.
RELYING_SITES_URL = os.environ.get("RELYING_SITES_URL") or f"{SMS_URL.removesuffix('/sms')}/sites"
BANK_CODE = os.environ.get("BANK_CODE", "WEIFANG-SANDBOX")  # which of our banks the rest leads to
BANK_URL = os.environ.get("BANK_URL", "http://127.0.0.1:8100/bank")
BANK_KEY_ID = os.environ.get("BANK_KEY_ID", "bank-1")
BANK_PUBLIC_KEY_PEM = SECRETS.bank_public_key_pem
BANK_NEXT_KEY_ID = os.environ.get("BANK_NEXT_KEY_ID", "")  # while the bank changes its key
BANK_NEXT_PUBLIC_KEY_PEM = SECRETS.bank_next_public_key_pem

# Card issuers by code, each as {"url", "key_id", "public_key"}: a site's own as JSON in ISSUERS,
# else those of the sandbox. A real register never stands beside invented issuers.
ISSUERS_URL = os.environ.get("ISSUERS_URL") or (
    "" if os.environ.get("REGISTER_URL") else "http://127.0.0.1:8100/issuers"
)
ISSUERS: dict[str, dict[str, str]] = json.loads(os.environ.get("ISSUERS", "null")) or {
    code: {
        "url": f"{ISSUERS_URL}/{code}",
        "key_id": "issuers-1",
        "public_key": SECRETS.issuers_public_key_pem,
    }
    for code in ("public-security", "weifang-bank", "weifang-bus")
    if ISSUERS_URL
}

# What the IoT platforms push is spread over so many shards, each drained by one at a time.
IOT_SHARDS = 4

# A stay in a parking bay is charged this long after its end: readings may be late until then.
PARKING_SETTLE_AFTER_S = int(os.environ.get("PARKING_SETTLE_AFTER_S", "120"))

# People who work with it
AUTH_PASSWORD_VALIDATORS = [
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 15},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
STAFF_SESSION_LIFE = timedelta(minutes=30)

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": ["vpass.common.policy.RefuseAll"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "vpass.common.api.openapi.AudienceSchema",
    "EXCEPTION_HANDLER": "vpass.common.api.problems.render_exception",
    "UNAUTHENTICATED_USER": None,
    "UNICODE_JSON": True,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "V Pass",
    "VERSION": "1",
    "DESCRIPTION": "One rotating code for a citizen's identity, cards, payments and city services.",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    # These names stand in several shapes, and others have a `kind` and an `outcome` too.
    "ENUM_NAME_OVERRIDES": {
        "KindEnum": "identity.models.Delegation.Kind",
        "OutcomeEnum": "identity.models.AccessLine.Outcome",
    },
}

# "Log in with V Pass": the toolkit's engine over tables of our own (identity/models/logins.py). It
# has none itself; the two names below it that nothing of ours uses have to point somewhere.
OAUTH2_PROVIDER_APPLICATION_MODEL = "identity.RelyingParty"
OAUTH2_PROVIDER_GRANT_MODEL = OAUTH2_PROVIDER_DEVICE_GRANT_MODEL = "identity.LoginCode"
OAUTH2_PROVIDER_ACCESS_TOKEN_MODEL = "identity.LoginAccessToken"  # noqa: S105  a model
OAUTH2_PROVIDER_REFRESH_TOKEN_MODEL = "identity.LoginRefreshToken"  # noqa: S105  a model
OAUTH2_PROVIDER_ID_TOKEN_MODEL = "identity.Login"  # noqa: S105  a model
MIGRATION_MODULES = {"oauth2_provider": None}
OAUTH2_PROVIDER = {
    "PKCE_REQUIRED": True,
    "ALLOWED_REDIRECT_URI_SCHEMES": ["https"],  # identity/relying_parties.py lets loopback in
    "COMPLIANT_BCP_RFC9700_REDIRECT_URI_SCHEME": True,
    "REFRESH_TOKEN_REUSE_PROTECTION": True,
    "COMPLIANT_BCP_RFC9700_IMPLICIT_GRANT": True,
    "COMPLIANT_BCP_RFC9700_PASSWORD_GRANT": True,
    "COMPLIANT_BCP_RFC9700_PKCE_METHOD": True,
    "COMPLIANT_BCP_RFC9700_ACCESS_TOKEN_TRANSPORT": True,
    "COMPLIANT_BCP_RFC9700_AUTHZ_RESPONSE_ISS": True,
    "COMPLIANT_BCP_RFC9700_TOKEN_STORAGE": True,
    "COMPLIANT_BCP_RFC9700_REFRESH_TOKEN": True,
    "COMPLIANT_BCP_RFC9700_REDIRECT_URI_MATCHING": True,
    "COMPLIANT_BCP_RFC9700_PKCE_REQUIRED": True,
}

# The web
LANGUAGE_CODE = "zh-hans"
LANGUAGES = [("zh-hans", "中文"), ("en", "English")]
USE_I18N = False
USE_TZ = True
TIME_ZONE = "UTC"
STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "templates" / "static"]
STATIC_ROOT = STATE_DIR / "static"
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = DEBUG

DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024
SECURE_SSL_REDIRECT = (
    False  # an API refuses plain http instead of redirecting; the site's proxy does
)
SECURE_HSTS_SECONDS = 31_536_000 if IS_HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = IS_HTTPS
SECURE_HSTS_PRELOAD = IS_HTTPS
SECURE_REFERRER_POLICY = "no-referrer"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = IS_HTTPS
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "data:", "blob:"],
        "media-src": ["'self'", "blob:"],
        "font-src": ["'self'"],
        "connect-src": ["'self'"],
        "manifest-src": ["'self'"],
        "worker-src": ["'self'"],
        "frame-ancestors": ["'none'"],
        "base-uri": ["'none'"],
        "form-action": ["'self'"],
    }
}

LOGGING_CONFIG = None  # vpass.common.observability sets structured logging up at program start
