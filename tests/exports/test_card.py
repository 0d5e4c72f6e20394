from pathlib import Path

import yaml

from dataops_assets.stages.training_export import Assembly


def test_the_head_can_be_read_and_names_files_that_exist(delivered: Path) -> None:
    text = (delivered / "README.md").read_text()
    head = yaml.safe_load(text.split("---\n")[1])
    assert head["license_details"] == ["CC0-1.0"]
    for entry in head["configs"][0]["data_files"]:
        assert (delivered / entry["path"]).is_file()


def test_it_counts_what_is_there_and_what_is_not(delivered: Path, assembly: Assembly) -> None:
    text = (delivered / "README.md").read_text()
    train = assembly.frame[assembly.frame["split"] == "train"]
    assert f"| train | {len(train)} | {(train['kind'] == 'source').sum()} | {(train['kind'] == 'variant').sum()} |" in text
    assert f"| variant_outside_train | variant | {len(assembly.left_out)} |" in text
    assert "gold accuracy: 0.9712" in text
    assert "cleaned_set d1: pass" in text


def test_words_from_outside_do_not_become_markup(delivered: Path) -> None:
    body = (delivered / "README.md").read_text().split("---\n", 2)[2]
    assert "<b>" not in body.replace("\\<", "")
