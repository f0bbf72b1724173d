"""What Granian serves for the baselines."""

import os

from django.core.wsgi import get_wsgi_application

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.bench.baselines.settings"
application = get_wsgi_application()
