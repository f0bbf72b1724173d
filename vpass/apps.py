"""Registers the wiring app, which carries the project's commands and its Celery application."""

from django.apps import AppConfig

from vpass.celery import app as celery_app

__all__ = ["VPassConfig", "celery_app"]


class VPassConfig(AppConfig):
    """The commands; importing it makes the project's Celery application the current one."""

    name = "vpass"
