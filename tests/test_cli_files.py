"""The commands and the files that they read: formats, widths, ids from one, propensities, convert."""

import json

import numpy as np
import pytest

from slide.cli import main
from slide.data import load, read
from slide.metrics import evaluate_topk, propensities
from slide.network import Network

XMC = "4 6 4\n0,1 0:1.0 2:0.5\n2 1:2\n3 4:0.25\n0 3:1 5:2\n"
LIBSVM = XMC.partition("\n")[2]


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Runs a command in a folder of its own: (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as stop:
            code = stop.code
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def put(tmp_path):
    def put(**files):
        for name, text in files.items():
            (tmp_path / name.replace("__", ".")).write_text(text)

    return put


def train(run, *arguments):
    return run("train", "--epochs", 1, "--threads", 1, *arguments)


def test_every_command_says_what_it_read(run, put):
    put(train__txt=XMC, test__svm=LIBSVM.splitlines()[1] + "\n")
    code, out, err = train(run, "--train", "train.txt", "--test", "test.svm", "--save", "m.npz")
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == "read train.txt (XMC text); test.svm (LibSVM text without a header)"
    code, out, err = run("evaluate", "m.npz", "--test", "test.svm")
    assert (code, err) == (0, "") and out.startswith("read test.svm (LibSVM text without a header)\nP@1 ")
    code, out, err = run("predict", "m.npz", "--input", "test.svm")
    assert code == 0 and len(out.splitlines()) == 1 and err == "read test.svm (LibSVM text without a header)\n"


def test_every_command_takes_two_files_and_archives(run, put):
    put(train__txt=XMC)
    for target in ("trn_X_Xf.txt,trn_X_Y.txt", "X.npz,Y.npz", "all.npz"):
        assert run("convert", "train.txt", target)[0] == 0
    for source in ("trn_X_Xf.txt", "trn_X_Xf.txt,trn_X_Y.txt", "X.npz,Y.npz", "X.npz", "all.npz"):
        assert train(run, "--train", source, "--test", "train.txt", "--save", "m.npz")[0] == 0
        assert run("evaluate", "m.npz", "--test", source)[0] == 0
    predicted = {run("predict", "m.npz", "--input", source)[1] for source in ("train.txt", "X.npz", "trn_X_Xf.txt")}
    assert len(predicted) == 1
    run("convert", "train.txt", "features.txt,labels.txt")
    assert run("predict", "m.npz", "--input", "features.txt")[0] == 0
    code, _, err = run("evaluate", "m.npz", "--test", "features.txt")
    assert code == 2 and "features.txt: found one matrix, expected labels too" in err


def test_a_file_without_a_header_has_the_widths_of_training(run, put):
    put(train__txt=XMC, test__txt="0 1:1\n", beyond__txt="0 1:1\n1 6:1\n")
    assert train(run, "--train", "train.txt", "--test", "test.txt", "--save", "m.npz")[0] == 0
    assert run("evaluate", "m.npz", "--test", "test.txt")[0] == 0
    for command in (("train", "--train", "train.txt", "--test"), ("evaluate", "m.npz", "--test"),
                    ("predict", "m.npz", "--input")):  # fmt: skip
        code, _, err = run(*command, "beyond.txt")
        assert code == 2 and "beyond.txt, line 2: found '6:1', expected a feature from 0 to 5" in err
    put(other__txt="1 7 4\n0 1:1\n")
    for command in (("evaluate", "m.npz", "--test"), ("predict", "m.npz", "--input")):
        code, _, err = run(*command, "other.txt")
        assert code == 2 and "other.txt: found 7 features, expected 6 as in the network" in err


def test_ids_count_from_one_where_that_is_said(run, put):
    put(one__txt="3 5 4\n1,2 1:1.0 3:0.5\n3 2:2\n4 5:0.25\n", room__txt="3 6 5\n1,2 1:1.0 3:0.5\n3 2:2\n4 5:0.25\n")
    code, _, err = train(run, "--train", "one.txt", "--test", "one.txt")
    assert code == 2 and "one.txt, line 4: found '4'" in err and "say --one-based" in err
    assert train(run, "--train", "one.txt", "--test", "one.txt", "--one-based", "--save", "m.npz")[0] == 0
    assert run("evaluate", "--one-based", "m.npz", "--test", "one.txt")[0] == 0
    code, _, err = train(run, "--train", "room.txt", "--test", "room.txt")
    assert code == 0 and "note: room.txt: feature 0 never occurs though 5" in err and "say --one-based" in err
    assert run("convert", "--one-based", "one.txt", "zero.txt")[0] == 0
    assert load("zero.txt")[0].indices.min() == 0
    assert run("convert", "--one-based-features", "--one-based-labels", "one.txt", "zero.txt")[0] == 2


def test_one_and_two_rows_train_where_no_propensities_are_asked_for(run, put):
    put(one__txt="1 5 4\n0,1 0:1.0 2:0.5\n", two__txt="2 5 4\n0,1 0:1.0 2:0.5\n2 1:2\n")
    for name in ("one.txt", "two.txt"):
        assert train(run, "--train", name, "--test", name, "--save", "m.npz")[0] == 0
        assert run("evaluate", "m.npz", "--test", name, "--like", name)[0] == 0
        for command in (("train", "--psp-a", 0.5, "--train", name), ("evaluate", "m.npz", "--train", name)):
            code, _, err = run(*command, "--test", name)
            assert code == 2 and "expected at least 3" in err


def test_propensities_have_the_constants_that_are_asked_for(run, put, tmp_path):
    put(train__txt=XMC)
    files = ("--train", "train.txt", "--test", "train.txt")
    assert train(run, *files, "--log", "plain.jsonl")[0] == 0
    code, out, _ = train(run, *files, "--log", "psp.jsonl", "--psp-a", 0.6, "--psp-b", 2.6, "--save", "m.npz")
    assert code == 0
    X, Y = load("train.txt")
    network = Network.load("m.npz")
    for A, B, options in ((0.55, 1.5, ()), (0.6, 2.6, ("--psp-a", 0.6, "--psp-b", 2.6)), (0.6, 1.5, ("--psp-a", 0.6))):
        scores = evaluate_topk(Y, network.predict(X, k=4)[0], (1, 3), propensities(Y, A, B))
        code, out, _ = run("evaluate", "m.npz", "--test", "train.txt", "--train", "train.txt", *options)
        assert code == 0 and f"PSP@3   {scores['PSP@3']:.4f}" in out
    logged = [json.loads(line) for name in ("plain", "psp") for line in (tmp_path / f"{name}.jsonl").open()]
    ends = [line["scores"]["test"]["one network"] for line in logged if line["event"] == "end"]
    assert ["PSP@1" in scores for scores in ends] == [False, True]
    code, _, err = run("evaluate", "m.npz", "--test", "train.txt", "--psp-b", 2.6)
    assert code == 2 and "--psp-a, --psp-b: found no --train" in err
    assert run("evaluate", "m.npz", "--test", "train.txt", "--train", "train.txt", "--psp-b", 0)[0] == 2


@pytest.mark.parametrize("target", ["b.txt.gz", "b.TXT.BZ2", "b.svm", "b.npz", "X.txt,Y.txt.xz", "X.npz,Y.npz"])
def test_what_is_converted_comes_back(run, put, target):
    put(a__txt=XMC)
    code, out, err = run("convert", "a.txt", target)
    assert (code, err) == (0, "")
    assert out == f"a.txt (XMC text): 4 rows, 6 features, 4 labels; saved {target}\n"
    assert run("convert", target, "back.txt")[0] == 0
    for found, expected in zip(load("back.txt"), load("a.txt"), strict=True):
        np.testing.assert_array_equal(found.toarray(), expected.toarray())


def test_what_cannot_be_converted_is_refused(run, put, tmp_path):
    put(a__txt=XMC, bad__txt="2 2 2\n0 0:1\n")
    for source, target, said in (
        ("a.txt", "b.csv", "b.csv: found no known end of a file name"),
        ("a.txt", "/dev/null", "found no known end"),
        ("bad.txt", "b.npz", "bad.txt, line 3: found the end of the file after 1 samples"),
        ("none.txt", "b.npz", "none.txt"),
        ("a.txt", "no/such/b.npz", "no/such"),
    ):
        code, _, err = run("convert", source, target)
        assert code == 2 and said in err and len(err.splitlines()) == 1
    code, _, err = run("convert", "a.txt", "/dev/null", "--to", "xmc")
    assert code == 2 and "expected a file to replace" in err
    assert {path.name for path in tmp_path.iterdir()} == {"a.txt", "bad.txt"}
    assert run("convert", "a.txt", "b.data", "--to", "libsvm")[0] == 0
    assert (tmp_path / "b.data").read_text() == LIBSVM.replace("1.0", "1")


def test_text_is_read_with_the_words_of_training(run, put):
    pytest.importorskip("sklearn")
    put(train__txt="__label__cat the cat\n__label__dog the dog\n__label__cat a cat\n")
    put(test__txt="__label__dog dog zebra\n")
    assert run("convert", "train.txt", "train.npz")[0] == 0
    assert run("convert", "test.txt", "test.npz", "--like", "train.npz")[0] == 0
    texts, archives = ("--train", "train.txt", "--test", "test.txt"), ("--train", "train.npz", "--test", "test.npz")
    assert train(run, *texts, "--save", "m.npz")[0] == 0 and train(run, *archives, "--save", "n.npz")[0] == 0
    results = [run("evaluate", model, *files) for model, files in (("m.npz", texts), ("n.npz", archives))]
    assert [code for code, _, _ in results] == [0, 0]
    assert results[0][1].partition("\n")[2] == results[1][1].partition("\n")[2]
    code, out, _ = run("predict", "m.npz", "--input", "test.txt", "--like", "train.npz", "--top-k", 2)
    assert code == 0 and {name.partition(":")[0] for name in out.split()} == {"cat", "dog"}
    for command in (("evaluate", "m.npz", "--test"), ("predict", "m.npz", "--input")):
        code, _, err = run(*command, "test.txt")
        assert code == 2 and "test.txt: found fastText text, expected also the training data" in err
    code, _, err = run("convert", "test.txt", "test.xmc.txt", "--like", "train.txt")
    assert code == 0 and "note: test.xmc.txt keeps no words: read other text with --like train.txt" in err
    assert (read("test.xmc.txt").X != read("test.npz").X).nnz == 0
