"""Twin of slide/_kernels/parse.pyx: lines of samples."""

import numpy as np


def scan_decimal(token):
    """(sign, digits, exponent) of sign * digits * 10**exponent; None where the token is no decimal number."""
    signs = (b"+", b"-")
    body, e, power = token[token[:1] in signs :].lower().partition(b"e")
    whole, _, fraction = body.partition(b".")
    if not (whole + fraction).isdigit() or (e and not power[power[:1] in signs :].isdigit()):
        return None
    exponent = (int(power) if e else 0) - len(fraction)
    return -1 if token[:1] == b"-" else 1, int(whole + fraction), exponent


def round_decimal(sign, digits, exponent):
    """The float32 nearest to sign * digits * 10**exponent in whole-number arithmetic, ties to even."""
    top = len(str(digits)) + exponent
    if digits == 0 or top < -60:
        return np.float32(sign * 0.0)
    if top > 60:
        return np.float32(sign * np.inf)
    over, under = (digits * 10**exponent, 1) if exponent >= 0 else (digits, 10**-exponent)

    def distance(candidate):
        units = int(min(float(candidate), 2.0**128) * 2.0**149)  # every float32 is a multiple of 2**-149
        return abs(over * 2**149 - units * under), candidate.view(np.uint32) & 1

    with np.errstate(over="ignore"):
        near = np.float32(over / under)
        around = np.nextafter(near, np.float32(0)), near, np.nextafter(near, np.float32(np.inf))
    return np.float32(sign) * min(around, key=distance)


def parse_row(line, n_features, n_labels, first_feature, first_label, blank):
    """(fault, its position in the line, labels, features, values) of a line without its end."""
    line, at, labels, features, values = line.replace(b"\t", b" "), 0, [], [], []
    if blank and not line.strip(b" ") and (blank == 2 or not line):
        return 6, 0, labels, features, values
    more = n_labels >= 0 and line[:1] not in (b"", b" ")
    while more:
        piece, comma, _ = line[at:].partition(b" ")[0].partition(b",")
        if not piece.isdigit() or not 0 <= int(piece) - first_label < n_labels:
            return 2 if piece.isdigit() else 1, at, labels, features, values
        labels.append(int(piece) - first_label)
        at += len(piece + comma)
        more = comma == b","
        while more and line[at : at + 1] == b" ":
            at += 1
    for token in line[at:].split(b" "):
        feature, colon, number = token.partition(b":")
        decimal = scan_decimal(number)
        fault = 5 if decimal is None else 0
        if feature.isdigit() and not 0 <= int(feature) - first_feature < n_features:
            fault = 4
        if not feature.isdigit() or not colon:
            fault = 3
        if token and fault:
            return fault, at, labels, features, values
        if token:
            features.append(int(feature) - first_feature)
            values.append(round_decimal(*decimal))
        at += len(token) + 1
    return 0, at, labels, features, values


def parse_rows(
    text, n_features, n_labels, first_feature, first_label, blank, max_rows, label_ptr, labels, feature_ptr, features,
    values, doubts, report,
):  # fmt: skip
    """As the kernel, but every number is rounded here: `doubts` stays empty."""
    text = bytes(text)
    at = row = n_found = n_values = fault = 0
    label_ptr[0] = feature_ptr[0] = 0
    while at < len(text) and row < max_rows and not fault:
        end = text.index(b"\n", at)
        line = text[at:end].removesuffix(b"\r")
        fault, place, *found = parse_row(line, n_features, n_labels, first_feature, first_label, blank)
        labels[n_found : n_found + len(found[0])] = found[0]
        features[n_values : n_values + len(found[1])] = found[1]
        values[n_values : n_values + len(found[1])] = found[2]
        n_found += len(found[0])
        n_values += len(found[1])
        at = at + place if fault else end + 1
        if not fault:
            row += 1
            label_ptr[row], feature_ptr[row] = n_found, n_values
    report[:] = row, at, n_found, n_values, 0
    return fault


def sort_rows(ptr, ids, values):
    """Sorts each row of (ptr, ids, values) by id, in place; the first row with a repeated id, or -1."""
    for row, (start, end) in enumerate(zip(ptr[:-1], ptr[1:], strict=True)):
        order = np.argsort(ids[start:end], kind="stable")
        ids[start:end], values[start:end] = ids[start:end][order], values[start:end][order]
        if len(set(ids[start:end].tolist())) < end - start:
            return row
    return -1


def write_decimal(value):
    """The fewest digits that read back as the float32 `value`."""
    mantissa, _, power = np.format_float_scientific(value, trim="-").partition("e")
    whole, _, fraction = mantissa.lstrip("-").partition(".")
    digits, exponent = whole + fraction, int(power) - len(fraction)
    sign = "-" if mantissa.startswith("-") else ""
    if exponent < -15 or exponent > 6:
        return f"{sign}{digits}e{exponent}"
    digits = (digits + "0" * exponent).zfill(1 - exponent)
    return sign + (f"{digits[:exponent]}.{digits[exponent:]}" if exponent < 0 else digits)


def format_rows(label_ptr, labels, feature_ptr, features, values, first, last, text):
    """Writes rows first..last-1 to `text`; returns the bytes."""
    lines = []
    for row in range(first, last):
        own = labels[label_ptr[row] : label_ptr[row + 1]]
        words = range(feature_ptr[row], feature_ptr[row + 1])
        line = ",".join(map(str, own)) + "".join(f" {features[k]}:{write_decimal(values[k])}" for k in words)
        lines.append((line or " ") + "\n")
    found = np.frombuffer("".join(lines).encode(), np.uint8)
    text[: len(found)] = found
    return len(found)
