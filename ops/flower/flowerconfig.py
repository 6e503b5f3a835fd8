"""Flower reads this file when it starts: `worker/app.py` names it, so that the stock command does."""

from tornado.options import options

from ops.flower.setup import configure

configure(options)
