"""The certificate of a first start: `nginx/make_certificate.py`."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from cryptography import x509

from tools.reference import ROOT

HOSTS = ["localhost", "127.0.0.1"]


@pytest.fixture
def maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_certificate", ROOT / "nginx" / "make_certificate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def held(folder: Path) -> tuple[bytes, bytes]:
    return (folder / "fullchain.pem").read_bytes(), (folder / "privkey.pem").read_bytes()


def test_it_is_for_the_hosts_and_its_key_is_closed_to_others(maker: ModuleType, tmp_path: Path) -> None:
    maker.main(tmp_path, HOSTS)
    certificate = x509.load_pem_x509_certificate(held(tmp_path)[0])
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(one.value) for one in names] == HOSTS
    assert (tmp_path / "privkey.pem").stat().st_mode & 0o007 == 0
    assert sorted(one.name for one in tmp_path.iterdir()) == ["fullchain.pem", "privkey.pem"]


def test_what_is_there_stays(maker: ModuleType, tmp_path: Path) -> None:
    maker.main(tmp_path, HOSTS)
    before = held(tmp_path)
    maker.main(tmp_path, HOSTS)
    assert held(tmp_path) == before


def test_our_own_is_made_anew_before_it_ends(
    maker: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maker, "DAYS", maker.DAYS_BEFORE)
    maker.main(tmp_path, HOSTS)
    before = held(tmp_path)
    maker.main(tmp_path, HOSTS)
    assert held(tmp_path)[0] != before[0]
    assert held(tmp_path)[1] != before[1]


def test_another_s_that_is_about_to_end_is_named_and_left_alone(
    maker: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(maker, "DAYS", maker.DAYS_BEFORE)
        patched.setattr(maker, "ORGANIZATION", x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "another"))
        maker.main(tmp_path, HOSTS)
    before = held(tmp_path)
    maker.main(tmp_path, HOSTS)
    assert held(tmp_path) == before
    assert "renew it" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["fullchain.pem", "privkey.pem"])
def test_one_file_without_the_other_is_refused_and_kept(maker: ModuleType, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("yours")
    with pytest.raises(SystemExit, match=name):
        maker.main(tmp_path, HOSTS)
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [(name, "yours")]
