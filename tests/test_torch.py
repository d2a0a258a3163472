"""The wide layer as a module of PyTorch has the manners of one, and the gradients of its dense counterpart."""

import copy
import io
import pickle

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install slidenn[torch]")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from slide import SGD, Adam, RehashSchedule  # noqa: E402
from slide.torch import SampledLinear, SampledSoftmax  # noqa: E402

N, D, C = 37, 9, 50


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def full(linear=None, **settings):
    """With all classes active, and plain gradient descent whose steps are gradients."""
    settings = {"sampler": "full", "optimizer": SGD(lr=1.0), "threads": 2, **settings}
    return SampledSoftmax.from_linear(linear or nn.Linear(D, C), **settings)


def sampled(n_classes=400, **settings):
    settings = {"active": 20, "K": 2, "L": 4, "rehash": RehashSchedule(N0=3), "threads": 2, **settings}
    return SampledSoftmax(D, n_classes, **settings)


def batch(n_classes=C, n=N):
    return torch.randn(n, D, requires_grad=True), torch.randint(0, n_classes, (n,))


def cross_entropy(linear, hidden, target, **settings):
    """The loss of PyTorch, and its gradients by hidden, weight and bias, in float64."""
    linear, hidden = copy.deepcopy(linear).double(), hidden.detach().double().requires_grad_()
    loss = F.cross_entropy(linear(hidden), target, **settings)
    weight = torch.rand(N, generator=torch.Generator().manual_seed(1)) if loss.dim() else torch.ones(())
    (loss * weight.double()).sum().backward()
    return loss.detach(), hidden.grad, linear.weight.grad, linear.bias.grad


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("ignored", [False, True])
def test_it_is_cross_entropy_where_all_classes_are_active(reduction, weighted, ignored):
    linear, (hidden, target) = nn.Linear(D, C), batch()
    weight = torch.rand(C) if weighted else None
    if ignored:
        target[::3] = -100
    settings = {"reduction": reduction, "weight": weight}
    exactly = settings | ({"weight": weight.double()} if weighted else {})
    want = cross_entropy(linear, hidden, target, **exactly)
    head = full(linear, **settings)
    loss = head(hidden, target).loss
    np.testing.assert_allclose(loss.detach(), want[0], rtol=1e-5, atol=1e-6)
    factor = torch.rand(N, generator=torch.Generator().manual_seed(1)) if loss.dim() else torch.ones(())
    (loss * factor).sum().backward()
    np.testing.assert_allclose(hidden.grad, want[1], atol=1e-5)
    np.testing.assert_allclose(linear.weight.detach() - head.weight.detach(), want[2], atol=1e-5)
    np.testing.assert_allclose(linear.bias.detach() - head.bias, want[3], atol=1e-5)
    exact = copy.deepcopy(head).eval()(hidden, target).loss.detach()
    want, *_ = cross_entropy(head.to_linear(), hidden, target, **exactly)
    np.testing.assert_allclose(exact, want, rtol=1e-5, atol=1e-6)


def test_the_incoming_gradient_scales_the_step():
    hidden, target = batch()
    for factor in (0.25, -2.0):
        linear = nn.Linear(D, C)
        head, hidden.grad = full(linear), None
        _, dh, dw, _ = cross_entropy(linear, hidden, target)
        (head(hidden, target).loss * factor).backward()
        np.testing.assert_allclose(hidden.grad, factor * dh, atol=1e-6)
        np.testing.assert_allclose(linear.weight.detach() - head.weight.detach(), factor * dw, atol=1e-5)


def test_nothing_moves_without_a_gradient():
    head, (hidden, target) = sampled(), batch(400)
    before = head.weight.detach().clone()
    with torch.no_grad():
        head(hidden, target)
    head(hidden, target)  # and no backward pass
    (head(hidden, target).loss * 0).backward()
    head.eval()(hidden, target)
    head.train().requires_grad_(False)
    head(hidden, target).loss.backward()  # frozen
    assert hidden.grad.any() and head.core.step == 0
    torch.testing.assert_close(head.weight, before, rtol=0, atol=0, check_device=False)


def test_a_body_that_needs_no_gradient_does_not_stop_the_layer():
    head, (hidden, target) = sampled(), batch(400)
    head(hidden.detach(), target).loss.backward()
    assert head.core.step == 1


def test_steps_are_accumulated_where_asked():
    linear, (hidden, target) = nn.Linear(D, C), batch()
    head = full(linear, steps_in="step")
    _, dh, dw, _ = cross_entropy(linear, hidden, target, reduction="sum")
    for part in (slice(0, 20), slice(20, None)):
        (head(hidden[part], target[part]).loss * len(target[part])).backward()
    torch.testing.assert_close(head.weight, linear.weight)
    head.step()
    assert head.core.step == 1
    np.testing.assert_allclose(hidden.grad, dh, atol=1e-5)
    np.testing.assert_allclose(linear.weight.detach() - head.weight.detach(), dw, atol=1e-5)
    head(hidden, target).loss.backward()
    head.zero_grad()
    head.step()
    assert head.core.step == 1


def test_several_uses_in_one_graph():
    linear, (hidden, target) = nn.Linear(D, C), batch()
    _, dh, dw, _ = cross_entropy(linear, hidden, target)
    head = full(linear, steps_in="step")
    (head(hidden, target).loss + head(hidden, target).loss).backward()
    head.step()
    np.testing.assert_allclose(hidden.grad, 2 * dh, atol=1e-5)
    np.testing.assert_allclose(linear.weight.detach() - head.weight.detach(), 2 * dw, atol=1e-5)


def test_kinds_of_targets_are_one():
    hidden, target = batch()
    lists = [[int(y), int(y + 1) % C] if i % 2 else [int(y)] for i, y in enumerate(target)]
    lists[5] = []
    padded = torch.full((N, 3), -100)
    indicator = torch.zeros(N, C)
    for i, classes in enumerate(lists):
        padded[i, : len(classes)] = torch.tensor(classes)
        indicator[i, classes] = 1
    linear = nn.Linear(D, C)
    kinds = lists, padded, indicator, indicator.bool(), indicator.to_sparse_csr(), indicator.to_sparse_coo()
    outputs = [full(linear)(hidden, kind) for kind in kinds]
    for output in outputs:
        np.testing.assert_array_equal(output.output.detach(), outputs[0].output.detach())
        assert output.loss == outputs[0].loss
    assert outputs[0].output[5] == 0


def test_shapes_of_sequences():
    head, hidden = sampled(), torch.randn(4, 5, D, requires_grad=True)
    target = torch.randint(0, 400, (4, 5))
    output, loss = head(hidden, target)
    assert output.shape == (4, 5) and loss.shape == ()
    loss.backward()
    assert hidden.grad.shape == hidden.shape
    assert head.predict(hidden).shape == (4, 5) and head.topk(hidden, 3)[1].shape == (4, 5, 3)
    assert head.log_prob(hidden).shape == (4, 5, 400) and head.log_prob(hidden, target).shape == (4, 5)


def test_log_prob_predict_and_topk_are_those_of_the_linear_layer():
    head, (hidden, _) = sampled(), batch()
    logits = head.to_linear()(hidden)
    torch.testing.assert_close(head.log_prob(hidden), torch.log_softmax(logits, 1).detach(), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(head.predict(hidden), logits.argmax(1))
    values, indices = head.topk(hidden, 4)
    torch.testing.assert_close(values, logits.topk(4)[0].detach())
    torch.testing.assert_close(indices, logits.topk(4)[1])


def learnt(head, hidden, target, steps=3):
    for _ in range(steps):
        loss = head(hidden, target).loss
        loss.backward()
    return loss.item(), head.weight.detach().clone()


@pytest.mark.parametrize("settings", [{}, {"weight_type": "bfloat16"}])
def test_copies_pickles_and_state_dicts_go_on_bit_for_bit(settings):
    head, (hidden, target) = sampled(optimizer=Adam(lr=0.01), **settings), batch(400)
    learnt(head, hidden, target, 5)
    file, loaded = io.BytesIO(), sampled(optimizer=Adam(lr=0.01), **settings)
    torch.save(head.state_dict(), file)
    file.seek(0)
    loaded.load_state_dict(torch.load(file, weights_only=True))
    others = loaded, copy.deepcopy(head), pickle.loads(pickle.dumps(head))
    loss, weight = learnt(head, hidden, target)
    for other in others:
        found, its = learnt(other, hidden, target)
        assert found == loss and torch.equal(its, weight) and other.core.step == head.core.step
    assert not torch.equal(loaded.state_dict()["weight"], sampled(**settings).state_dict()["weight"])


def test_weights_of_an_nn_linear_load_and_are_hashed():
    head, linear = sampled(), nn.Linear(D, 400)
    head.load_state_dict(linear.state_dict(), strict=False)
    again = SampledSoftmax.from_linear(linear, **{"active": 20, "K": 2, "L": 4, "rehash": RehashSchedule(N0=3)})
    hidden = linear.weight[:30].detach()
    torch.testing.assert_close(head.topk(hidden, 1, sampled=True), again.topk(hidden, 1, sampled=True))
    torch.testing.assert_close(head.to_linear().state_dict(), linear.state_dict())


class Tied(nn.Module):
    """Predicts an item from another, both by one matrix."""

    def __init__(self, n_items=400, **settings):
        super().__init__()
        self.embedding = nn.Embedding(n_items, D, sparse=True)
        self.body = nn.Linear(D, D)
        self.head = sampled(n_items, optimizer=Adam(lr=0.02), **settings)
        self.embedding.weight = self.head.weight

    def forward(self, items, target):
        return self.head(self.body(self.embedding(items)), target).loss


@pytest.mark.parametrize("steps_in", ["backward", "step"])
def test_tied_embeddings_are_learnt_and_stay_tied(steps_in):
    model, items = Tied(steps_in=steps_in), torch.arange(0, 400, 9)
    optimizer, target = torch.optim.Adam(model.parameters(), lr=0.02), (items * 7) % 400
    losses = []
    for _ in range(150):
        optimizer.zero_grad()
        loss = model(items, target)
        loss.backward()
        optimizer.step()
        if steps_in == "step":
            model.head.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 5
    assert model.head.weight.grad is None and model.head.weight not in optimizer.state
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert other.embedding.weight is other.head.weight
        assert other.head.weight.data_ptr() == other.head.core.weights.ctypes.data


def test_the_gradient_of_a_tied_embedding_is_applied():
    head = sampled(optimizer=SGD(lr=1.0))
    before, ids = head.weight.detach().clone(), torch.tensor([3, 5, 3])
    for sparse in (True, False):
        F.embedding(ids, head.weight, sparse=sparse).sum().backward()
        before[ids] -= torch.tensor([[2.0], [1.0], [2.0]])
        torch.testing.assert_close(head.weight.detach(), before)
        assert head.weight.grad is None


def test_a_backward_pass_that_would_read_changed_weights_is_refused():
    head, (hidden, target) = sampled(), batch(400)
    read = F.linear(hidden, head.weight)[:, :D]
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        head(read, target).loss.backward()


def test_what_has_no_gradient_says_so():
    head, (hidden, target) = sampled(), batch(400)
    with pytest.raises(RuntimeError, match="a loss of evaluation"):
        head.eval()(hidden, target).loss.backward()
    loss = head.train()(hidden, target).loss
    with pytest.raises(RuntimeError, match="create_graph=True"):
        torch.autograd.grad(loss, hidden, create_graph=True)
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="a second one"):
        loss.backward()


@pytest.mark.parametrize(
    ("hidden", "target", "error", "message"),
    [
        (torch.zeros(3, D + 1), torch.zeros(3).long(), ValueError, "hidden: found shape"),
        (torch.zeros(3, D).long(), torch.zeros(3).long(), TypeError, "hidden: found torch.int64"),
        (torch.zeros(3, D), torch.zeros(4).long(), ValueError, "target: found shape"),
        (torch.zeros(3, D), torch.full((3,), 400), ValueError, "target: found 400, expected classes from 0 to 399"),
        (torch.zeros(3, D), torch.zeros(3), ValueError, "target: found torch.float32 of shape"),
        (torch.zeros(3, D), 3, TypeError, "target: found int"),
    ],
)
def test_what_cannot_be_is_refused(hidden, target, error, message):
    with pytest.raises(error, match=message):
        sampled()(hidden, target)


def test_class_weights_want_single_classes():
    with pytest.raises(ValueError, match="several classes of one sample beside weight="):
        full(weight=torch.ones(C))(torch.zeros(2, D), [[1, 2], [3]])
    with pytest.raises(ValueError, match="weight: found shape"):
        full(weight=torch.ones(C + 1))


def test_it_stays_on_the_cpu_in_float32():
    head = full()
    model = nn.Sequential(nn.Linear(D, D), head).double()
    assert head.weight.dtype == torch.float32 and model[0].weight.dtype == torch.float64
    for dtype in (torch.float64, torch.bfloat16):
        hidden = torch.randn(4, D, dtype=dtype, requires_grad=True)
        loss = head(hidden, torch.arange(4)).loss
        loss.backward()
        assert hidden.grad.dtype == dtype and loss.dtype == (dtype if dtype == torch.float64 else torch.float32)
    with pytest.raises(RuntimeError, match="share_memory"):
        model.share_memory()


def test_a_batch_whose_targets_are_all_ignored():
    head, (hidden, target) = sampled(), batch(400)
    output, loss = head(hidden, torch.full_like(target, -100))
    assert loss == 0 and not output.any()
    loss.backward()
    assert not hidden.grad.any() and head.core.step == 0


def test_a_wide_hidden_layer():
    layer = SampledLinear(D, 60, active=15, K=2, L=3, optimizer=SGD(lr=1.0), threads=2)
    hidden, w = torch.randn(2, 8, D, requires_grad=True), layer.weight.detach().clone()
    y = layer(hidden)
    dy = torch.randn(2, 8, 60)
    (y * dy).sum().backward()
    mask = (y > 0).float()
    assert y.shape == (2, 8, 60) and 0 < mask.mean() < 1
    torch.testing.assert_close(hidden.grad, (dy * mask) @ w)
    want = (dy * mask).reshape(16, 60).T @ hidden.detach().reshape(16, D)
    torch.testing.assert_close(w - layer.weight.detach(), want, atol=1e-5, rtol=1e-5)
    layer.eval()
    torch.testing.assert_close(layer(hidden), torch.relu(layer.to_linear()(hidden)))
    twin = copy.deepcopy(layer)
    torch.testing.assert_close(twin.train()(hidden), layer.train()(hidden), rtol=0, atol=0)


def test_an_optimizer_of_the_whole_model_and_its_closure():
    """As automatic optimisation has it: the closure makes the backward pass and clips gradients."""
    head, (hidden, target) = sampled(), batch(400)
    model = nn.ModuleDict({"body": nn.Linear(D, D), "head": head})
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.5)

    def closure():
        optimizer.zero_grad()
        loss = head(model["body"](hidden), target).loss
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        return loss

    twin = copy.deepcopy(model)
    twin["head"](twin["body"](hidden), target).loss.backward()
    before = model["body"].weight.detach().clone()
    optimizer.step(closure)
    assert head.core.step == 1 and not torch.equal(model["body"].weight, before)
    assert torch.equal(head.weight, twin["head"].weight)  # no decay but its own


@pytest.mark.slow
def test_a_compiled_body():
    head, (hidden, target) = sampled(), batch(400)
    body = torch.compile(nn.Linear(D, D), backend="eager")
    head(body(hidden), target).loss.backward()
    assert head.core.step == 1 and hidden.grad.any()
    model = torch.compile(Tied(), backend="eager")
    model(torch.arange(5), torch.arange(5)).backward()
    assert model.head.core.step == 1
