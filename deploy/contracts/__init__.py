"""Contracts as documents: schemas, AsyncAPI, the event catalogue, and what may change in them.

python -m deploy.contracts generate|check|release
"""
