import json
import multiprocessing
import stat
from pathlib import Path

import pytest
import yaml

from service.access import key_file
from service.access.key_file import KeyFile
from service.access.keys import KeyEntry, new_key
from service.config_access import RateLimits
from service.errors import ConfigError
from tests.service.access.clock import EPOCH


def entry(tenant: str = "acme") -> KeyEntry:
    limits = RateLimits(requests_per_second=2.5)
    return new_key(tenant, "api", EPOCH, limits, EPOCH)[0]


@pytest.mark.parametrize("name", ["keys.yaml", "keys.json", "keys"])
def test_what_is_written_is_read(tmp_path: Path, name: str):
    file = KeyFile(tmp_path / "new" / name)
    wanted = [entry(), entry("other")]
    for one in wanted:
        with file.changing() as entries:
            entries.append(one)
    assert file.read() == tuple(wanted)
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert [path.name for path in file.path.parent.iterdir()] == [name]
    text = file.path.read_text()
    tree = json.loads(text) if name.endswith(".json") else yaml.safe_load(text)
    assert tree["version"] == 1
    assert len(tree["keys"]) == 2


def test_a_change_that_fails_changes_nothing(tmp_path: Path):
    file = KeyFile(tmp_path / "keys.yaml")
    with file.changing() as entries:
        entries.append(entry())
    before = file.path.read_bytes()

    def fail(entries: list[KeyEntry]) -> None:
        entries.clear()
        raise RuntimeError

    with pytest.raises(RuntimeError), file.changing() as entries:
        fail(entries)
    assert file.path.read_bytes() == before


def _add(path: Path, count: int) -> None:
    for _ in range(count):
        with KeyFile(path).changing() as entries:
            entries.append(entry())


def test_two_writers_lose_nothing(tmp_path: Path):
    path = tmp_path / "keys.yaml"
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_add, args=(path, 10)) for _ in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert len(KeyFile(path).read()) == 20


def test_the_signature_changes_with_every_change(tmp_path: Path):
    file = KeyFile(tmp_path / "keys.yaml")
    seen = set()
    for _ in range(3):
        with file.changing() as entries:
            entries.append(entry())
        seen.add(file.signature())
    assert len(seen) == 3


def test_an_empty_file_has_no_keys(tmp_path: Path):
    (tmp_path / "keys").write_text("")
    assert KeyFile(tmp_path / "keys").read() == ()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("keys: [", "cannot read the API keys"),
        ("[]", "cannot read the API keys"),
        ("version: 2", r"version: Input should be 1"),
        ("keys: [{id: abcd, tenant: t, digest: plaintext}]", r"keys\.0\.digest"),
        ("keys: [{id: abcd, tenant: t, secret: x}]", r"keys\.0"),
        ("!!python/object/apply:os.system [ls]", "cannot read the API keys"),
        ("\udcff", "cannot read the API keys"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, complaint: str):
    path = tmp_path / "keys.yaml"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ConfigError, match=complaint) as caught:
        KeyFile(path).read()
    assert "plaintext" not in str(caught.value)


def test_two_keys_of_one_id_are_refused(tmp_path: Path):
    one = entry().model_dump(mode="json")
    path = tmp_path / "keys.json"
    path.write_text(json.dumps({"keys": [one, one]}))
    with pytest.raises(ConfigError, match="two keys have the same id"):
        KeyFile(path).read()


def test_a_file_that_everyone_may_write_is_refused(tmp_path: Path):
    path = tmp_path / "keys.yaml"
    path.write_text("")
    path.chmod(0o666)
    with pytest.raises(ConfigError, match="chmod 600"):
        KeyFile(path).read()


def test_a_file_that_is_too_large_is_refused_and_not_cut(tmp_path: Path, monkeypatch):
    path = tmp_path / "keys.yaml"
    with KeyFile(path).changing() as entries:
        entries.append(entry())
    monkeypatch.setattr(key_file, "_LARGEST_BYTES", path.stat().st_size)
    assert len(KeyFile(path).read()) == 1
    with path.open("a") as file:
        file.write("  disabled: true\n")
    with pytest.raises(ConfigError, match="larger than"):
        KeyFile(path).read()


def test_a_missing_file_says_how_to_make_it(tmp_path: Path):
    with pytest.raises(ConfigError, match="longstream keys create"):
        KeyFile(tmp_path / "none").read()


def test_a_folder_that_cannot_be_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(ConfigError, match="cannot write"),
        KeyFile(tmp_path / "file" / "keys").changing(),
    ):
        pass
