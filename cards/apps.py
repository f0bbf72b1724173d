"""Registers the cards floor with Django."""

from django.apps import AppConfig


class CardsConfig(AppConfig):
    """The wallet: card types, life cycle, scenes, terminals."""

    name = "cards"
