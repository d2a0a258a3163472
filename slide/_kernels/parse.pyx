"""Lines of samples, `l1,l2 f:v f:v`: text to CSR (parse_rows, sort_rows) and CSR to text (format_rows).

Decimal numbers are rounded to the nearest float32 in double arithmetic whose error is bounded: where that
leaves a doubt (a tie, a subnormal, the edge of the range) the kernel says so and the caller decides exactly.
No locale enters.
"""
from libc.math cimport fabs, floor, log10
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.string cimport memcpy


cpdef enum Fault:
    NONE = 0
    LABEL = 1
    LABEL_RANGE = 2
    FEATURE = 3
    FEATURE_RANGE = 4
    VALUE = 5
    BLANK = 6


cpdef enum Blank:  # which lines without labels and features are samples
    EVERY = 0
    SPACED = 1  # those of blanks, not an empty one
    NO = 2


cdef enum:
    FEW_ULPS = 8  # of a double: above the error of the at most five roundings below

cdef int64_t LARGEST_INDEX = 1_000_000_000_000_000  # beyond every range
cdef double LARGEST = 9_007_199_254_740_992.0  # up to here a double holds every whole number
cdef double[23] TENS
TENS[:] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17,
           1e18, 1e19, 1e20, 1e21, 1e22]


cdef struct Decimal:
    uint64_t digits  # the first 18 or 19; value = digits * 10**exponent
    int64_t exponent
    bint negative
    bint cut  # digits were left off


cdef struct Rules:
    int64_t n_features
    int64_t n_labels  # below 0: lines begin with features
    int64_t first_feature  # the least id in the text; stored from 0
    int64_t first_label
    int64_t blank


cdef struct ParsedRows:
    int32_t* labels
    int32_t* features
    float* values
    int64_t* doubts  # (index in values, start, end in text) a number that the caller must round
    int64_t n_labels
    int64_t n_values
    int64_t n_doubts


cdef inline bint is_blank(uint8_t c) noexcept nogil:
    return c == 32 or c == 9


cdef inline bint is_end(const uint8_t* p) noexcept nogil:
    return p[0] == 10 or (p[0] == 13 and p[1] == 10)


cdef inline const uint8_t* scan_index(const uint8_t* p, int64_t* out) noexcept nogil:
    """Digits at p as a number (LARGEST_INDEX or more where it is that large); returns where they end."""
    cdef int64_t number = 0
    while <unsigned int>(p[0] - 48) <= 9:
        if number < LARGEST_INDEX:
            number = number * 10 + (p[0] - 48)
        p += 1
    out[0] = number
    return p


cdef inline const uint8_t* scan_digits(const uint8_t* p, Decimal* out, int64_t shift) noexcept nogil:
    """Appends the digits at p; shift is 1 after the decimal point, else 0."""
    while <unsigned int>(p[0] - 48) <= 9:
        if out.digits < <uint64_t>1_000_000_000_000_000_000:
            out.digits = out.digits * 10 + (p[0] - 48)
            out.exponent -= shift
        else:
            out.exponent += 1 - shift
            out.cut = True
        p += 1
    return p


cdef const uint8_t* scan_decimal(const uint8_t* p, Decimal* out) noexcept nogil:
    """Reads [+-]digits[.digits][e[+-]digits], digits on one side of the point at least; its end, or NULL."""
    cdef const uint8_t* start
    cdef int64_t exponent = 0, seen
    cdef bint negative
    out.digits, out.exponent, out.cut = 0, 0, False
    out.negative = p[0] == 45
    if p[0] == 45 or p[0] == 43:
        p += 1
    start = p
    p = scan_digits(p, out, 0)
    seen = p - start
    if p[0] == 46:
        start = p + 1
        p = scan_digits(start, out, 1)
        seen += p - start
    if seen == 0:
        return NULL
    if p[0] == 101 or p[0] == 69:
        p += 1
        negative = p[0] == 45
        if p[0] == 45 or p[0] == 43:
            p += 1
        start = p
        p = scan_index(p, &exponent)
        if p == start:
            return NULL
        out.exponent += -exponent if negative else exponent
    return p


cdef bint round_decimal(const Decimal* x, float* out) noexcept nogil:
    """The float32 nearest to x; False where bounded double arithmetic cannot tell which one that is."""
    cdef double value = <double>x.digits
    cdef int64_t e = x.exponent, low
    cdef bint whole = not x.cut and <double>x.digits < LARGEST and 0 <= e <= 22
    if whole:  # no doubt about digits * 10**e where digits * 5**e has 53 bits at most: the product is exact
        whole = value * (TENS[e] / <double>(<int64_t>1 << e)) <= LARGEST
    if x.digits == 0:
        out[0] = -0.0 if x.negative else 0.0
        return True
    if e < -66 or e > 66:
        return False
    while e < -22:
        value /= 1e22
        e += 22
    while e > 22:
        value *= 1e22
        e -= 22
    value = value / TENS[-e] if e < 0 else value * TENS[e]
    if value < 1.1754945e-38 or value > 3.4028234e38:
        return False
    memcpy(&low, &value, 8)
    low = (low & 0x1FFFFFFF) - 0x10000000
    if -FEW_ULPS <= low <= FEW_ULPS and not whole:
        return False
    out[0] = <float>(-value if x.negative else value)
    return True


cdef Fault parse_row(const uint8_t** at, const uint8_t* text, const Rules* rules, ParsedRows* rows) noexcept nogil:
    """One row at at[0], which moves past its newline, or to the token or blank line at fault."""
    cdef const uint8_t* p = at[0]
    cdef const uint8_t* start = p
    cdef const uint8_t* end
    cdef int64_t index, found = rows.n_labels + rows.n_values
    cdef int64_t* doubt
    cdef Decimal number
    if rules.n_labels >= 0 and not is_blank(p[0]) and not is_end(p):
        while True:
            at[0] = p
            end = scan_index(p, &index)
            if end == p or not (end[0] == 44 or is_blank(end[0]) or is_end(end)):
                return Fault.LABEL
            index -= rules.first_label
            if not 0 <= index < rules.n_labels:
                return Fault.LABEL_RANGE
            rows.labels[rows.n_labels] = <int32_t>index
            rows.n_labels += 1
            p = end
            if p[0] != 44:
                break
            p += 1
            while is_blank(p[0]):
                p += 1
    while True:
        while is_blank(p[0]):
            p += 1
        at[0] = p
        if is_end(p):
            if rows.n_labels + rows.n_values == found and (rules.blank == NO or rules.blank == SPACED and p == start):
                at[0] = start
                return Fault.BLANK
            at[0] = p + (1 if p[0] == 10 else 2)
            return Fault.NONE
        end = scan_index(p, &index)
        if end == p or end[0] != 58:
            return Fault.FEATURE
        index -= rules.first_feature
        if not 0 <= index < rules.n_features:
            return Fault.FEATURE_RANGE
        p = end + 1
        end = scan_decimal(p, &number)
        if end == NULL or not (is_blank(end[0]) or is_end(end)):
            return Fault.VALUE
        rows.features[rows.n_values] = <int32_t>index
        if not round_decimal(&number, &rows.values[rows.n_values]):
            doubt = rows.doubts + 3 * rows.n_doubts
            doubt[0], doubt[1], doubt[2] = rows.n_values, p - text, end - text
            rows.n_doubts += 1
        rows.n_values += 1
        p = end


def parse_rows(const uint8_t[::1] text, int64_t n_features, int64_t n_labels, int64_t first_feature,
               int64_t first_label, int64_t blank, int64_t max_rows, int64_t[::1] label_ptr, int32_t[::1] labels,
               int64_t[::1] feature_ptr, int32_t[::1] features, float[::1] values, int64_t[:, ::1] doubts,
               int64_t[::1] report):
    """Parses rows until `text` ends, `max_rows` are done or a row is at fault; returns the Fault.

    text: bytes, the last a newline. n_labels: -1 where lines hold features alone. first_feature, first_label: the
    least id in the text; ids are stored from 0. blank: a Blank. Outputs, filled from their start: label_ptr and
    feature_ptr (rows + 1), labels (len(text) // 2 + 1 suffice), features, values and doubts (len(text) // 4 + 1
    suffice). doubts holds (index in values, start, end in text) of each number that is left for the caller to round.
    report: rows done, position in text (of the token or blank line at fault, or of the first row not read), labels,
    values, doubts.
    """
    cdef Rules rules = Rules(n_features, n_labels, first_feature, first_label, blank)
    cdef ParsedRows rows = ParsedRows(&labels[0], &features[0], &values[0], &doubts[0, 0], 0, 0, 0)
    cdef const uint8_t* start = &text[0]
    cdef const uint8_t* at = start
    cdef const uint8_t* end = start + text.shape[0]
    cdef int64_t row = 0
    cdef Fault fault = Fault.NONE
    label_ptr[0] = feature_ptr[0] = 0
    with nogil:
        while at < end and row < max_rows:
            fault = parse_row(&at, start, &rules, &rows)
            if fault != Fault.NONE:
                break
            row += 1
            label_ptr[row] = rows.n_labels
            feature_ptr[row] = rows.n_values
    report[0], report[1], report[2] = row, at - start, rows.n_labels
    report[3], report[4] = rows.n_values, rows.n_doubts
    return fault


cdef inline void sift(int32_t* ids, float* values, int64_t root, int64_t n) noexcept nogil:
    cdef int32_t i = ids[root]
    cdef float v = values[root]
    cdef int64_t child = 2 * root + 1
    while child < n:
        if child + 1 < n and ids[child + 1] > ids[child]:
            child += 1
        if ids[child] <= i:
            break
        ids[root], values[root] = ids[child], values[child]
        root, child = child, 2 * child + 1
    ids[root], values[root] = i, v


cdef bint sort_row(int32_t* ids, float* values, int64_t n) noexcept nogil:
    """Sorts (ids, values) by id, in place; True where no id occurs twice."""
    cdef int64_t k = 1
    while k < n and ids[k - 1] < ids[k]:
        k += 1
    if k >= n:
        return True
    for k in range(n // 2 - 1, -1, -1):
        sift(ids, values, k, n)
    for k in range(n - 1, 0, -1):
        ids[0], ids[k] = ids[k], ids[0]
        values[0], values[k] = values[k], values[0]
        sift(ids, values, 0, k)
    for k in range(1, n):
        if ids[k - 1] == ids[k]:
            return False
    return True


def sort_rows(const int64_t[::1] ptr, int32_t[::1] ids, float[::1] values):
    """Sorts each row of (ptr, ids, values) by id, in place; the first row with a repeated id, or -1.

    Stops at that row. ptr: int64, rows + 1.
    """
    cdef int64_t row, n = ptr.shape[0] - 1, found = -1
    if ids.shape[0] == 0:
        return -1
    with nogil:
        for row in range(n):
            if not sort_row(&ids[0] + ptr[row], &values[0] + ptr[row], ptr[row + 1] - ptr[row]):
                found = row
                break
    return found


cdef uint8_t* write_whole(uint8_t* p, uint64_t number) noexcept nogil:
    cdef uint8_t[20] reverse
    cdef int n = 0
    while True:
        reverse[n] = <uint8_t>(48 + number % 10)
        number //= 10
        n += 1
        if number == 0:
            break
    while n > 0:
        n -= 1
        p[0] = reverse[n]
        p += 1
    return p


cdef Decimal shortest(float value) noexcept nogil:
    """The fewest digits, nine at most, that read back as `value` (always nine below 1e-37)."""
    cdef Decimal x = Decimal(0, 0, value < 0 or (value == 0 and 1 / value < 0), False)
    cdef double size = fabs(<double>value), scaled
    cdef int64_t top, places
    cdef float back
    if size == 0:
        return x
    top = <int64_t>floor(log10(size))
    for places in range(5, 9):
        x.exponent = top - places
        scaled = size
        while x.exponent < -22:
            scaled *= 1e22
            x.exponent += 22
        if x.exponent > 22:
            scaled /= 1e22
            x.exponent -= 22
        scaled = scaled * TENS[-x.exponent] if x.exponent < 0 else scaled / TENS[x.exponent]
        x.digits = <uint64_t>(scaled + 0.5)
        x.exponent = top - places
        if round_decimal(&x, &back) and back == value:
            break
    while x.digits % 10 == 0:
        x.digits //= 10
        x.exponent += 1
    return x


cdef uint8_t* write_decimal(uint8_t* p, float value) noexcept nogil:
    """Writes at most 18 bytes."""
    cdef Decimal x = shortest(value)
    cdef uint64_t unit = 1
    cdef int64_t _
    if x.negative:
        p[0] = 45
        p += 1
    if x.exponent < -15 or x.exponent > 6:
        p = write_whole(p, x.digits)
        p[0] = 101
        if x.exponent < 0:
            p[1] = 45
            p += 1
        return write_whole(p + 1, <uint64_t>(-x.exponent if x.exponent < 0 else x.exponent))
    for _ in range(-x.exponent):
        unit *= 10
    for _ in range(x.exponent):
        x.digits *= 10
    p = write_whole(p, x.digits // unit)
    if unit > 1:
        p[0] = 46
        p += 1
        while unit > 1:
            unit //= 10
            p[0] = <uint8_t>(48 + x.digits // unit % 10)
            p += 1
    return p


def format_rows(const int64_t[::1] label_ptr, const int32_t[::1] labels, const int64_t[::1] feature_ptr,
                const int32_t[::1] features, const float[::1] values, int64_t first, int64_t last,
                uint8_t[::1] text):
    """Writes rows first..last-1 to `text`; returns the bytes: at most 2 a row, 11 a label, 30 a feature.

    Values have the fewest digits that read back as the same float32. Both CSR have int64 ptr.
    """
    cdef uint8_t* start = &text[0]
    cdef uint8_t* p = start
    cdef int64_t row, k
    with nogil:
        for row in range(first, last):
            for k in range(label_ptr[row], label_ptr[row + 1]):
                p = write_whole(p, <uint64_t>labels[k])
                p[0] = 44
                p += 1
            if label_ptr[row + 1] > label_ptr[row]:
                p -= 1
            for k in range(feature_ptr[row], feature_ptr[row + 1]):
                p[0] = 32
                p = write_whole(p + 1, <uint64_t>features[k])
                p[0] = 58
                p = write_decimal(p + 1, values[k])
            if label_ptr[row + 1] == label_ptr[row] and feature_ptr[row + 1] == feature_ptr[row]:
                p[0] = 32
                p += 1
            p[0] = 10
            p += 1
    return p - start
