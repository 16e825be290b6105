"""Durable jobs: long work that survives the death of any process, here or on other machines."""
