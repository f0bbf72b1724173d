"""The web program's entry: what Granian serves."""

import os

from django.core.wsgi import get_wsgi_application

from services.iot.api.push_door import PushDoor
from vpass.common import database, doorbell, observability

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "vpass.settings")

observability.configure_logging()
application = PushDoor(get_wsgi_application())
database.refuse_unsafe_database()
doorbell.ring_in_background()
