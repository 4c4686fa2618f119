"""Databases to which the files of a small shop, or our own, can be deployed."""

import pytest

from tests.sql.deploy_kit import Folders


@pytest.fixture
def shop(tmp_path, new_database):
    return Folders.tiny(tmp_path, new_database())


@pytest.fixture
def aegis(tmp_path, new_database):
    return Folders.real(tmp_path, new_database())
