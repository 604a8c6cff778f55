"""Tests: each promises a behaviour somebody relies on."""
