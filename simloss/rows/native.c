/* The loss of each row and its gradient on the CPU: row by row, while a row is in the cache.
 *
 * With m = max z, e = exp(z - m), a = sum S e, b = sum (1 - S) e and d = a + b, for the similarity row S of one label y:
 *
 *     SimLoss             log1p(b / a)          slope   (e / d) ((1 - S) - S b / a)
 *     cross entropy       log1p(rest / e_y)     slope   e / d, for y -rest / d       where rest = sum_{c != y} e
 *
 * The loss is share times the first plus (1 - share) times the second; call.py says what smoothing adds to the second.
 * eager.py does the same with torch's operations, for every dtype and wherever this file is not compiled.
 *
 * Logits and gradient are float32 or bfloat16, all else is float32. Threads share the rows, and each row is summed in one
 * order, so the numbers do not depend on how many threads there are. Memory is addressed by what Python passes: native.py
 * checks dtypes, shapes and strides, and here each label and each column of a sparse matrix is compared with the number
 * of classes before it is used.
 */

#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Each loop is compiled for several instruction sets, and the best that the machine has is taken. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && defined(__ELF__)
#define FOR_EACH_MACHINE __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define FOR_EACH_MACHINE
#endif

#if defined(__GNUC__)
#define INLINE static inline __attribute__((always_inline))
#define APART __attribute__((noinline)) /* what gains nothing from another instruction set */
#else
#define INLINE static inline
#define APART
#endif

/* So many terms are added in float32 before their sum goes to a double: the error does not grow with C. */
enum { CHUNK = 1024 };

/* Numbers are computed and added so many at a time, on every machine in the same order. */
enum { LANES = 16 };
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wpsabi" /* vectors are passed to nobody: what takes one is inlined */
#endif
typedef float Vector __attribute__((vector_size(LANES * sizeof(float))));
typedef int32_t Integers __attribute__((vector_size(LANES * sizeof(int32_t))));

/* What became of a row. */
enum { IGNORED = -1, DONE = 0, FAR = 1, NO_CLASS = 2, BROKEN_MATRIX = 3, NO_MEMORY = 4 };

/* The sums of a row. Where cross entropy has a share, they leave out the label itself, whose e is `own`. */
typedef struct {
    Vector last_like, last_unlike; /* of the last chunk, lane by lane, still to be added to: */
    double like, unlike;           /* sum S e and sum (1 - S) e */
    double neighbours, between;    /* sum S and sum S (z - m) over the other classes; for smoothing only */
    float greatest, own;           /* m and e_y */
} Sums;

/* exp(x) for x <= 0 to less than 2 units in the last place; 0 below the smallest normal result. NaN stays NaN.
 * x = k ln 2 + r, and a polynomial for exp(r) (its coefficients are those of Moshier's Cephes library, 1989). */
INLINE float exp_of(float x)
{
    const float lowest = -87.3f, to_integer = 12582912.0f; /* 1.5 * 2^23 */
    float k = x * 1.44269504088896341f + to_integer;
    uint32_t power;
    memcpy(&power, &k, sizeof power);
    k -= to_integer;
    float r = (x - k * 0.693359375f) + k * 2.12194440e-4f;
    float y = 1.9875691500e-4f;
    y = y * r + 1.3981999507e-3f;
    y = y * r + 8.3334519073e-3f;
    y = y * r + 4.1665795894e-2f;
    y = y * r + 1.6666665459e-1f;
    y = y * r + 5.0000001201e-1f;
    y = y * (r * r) + r + 1.0f;
    power = (power << 23) + 0x3f800000; /* 2^k, whatever k is of a NaN */
    float two_to_k;
    memcpy(&two_to_k, &power, sizeof two_to_k);
    return x < lowest ? 0.0f : y * two_to_k;
}

INLINE float greatest_of(const float *z, int64_t count)
{
    float greatest = -INFINITY;
#pragma omp simd reduction(max : greatest)
    for (int64_t c = 0; c < count; c++)
        greatest = z[c] > greatest ? z[c] : greatest;
    return greatest;
}

INLINE Vector vector_at(const float *numbers)
{
    Vector vector;
    memcpy(&vector, numbers, sizeof vector);
    return vector;
}

/* Write exp(z - m) of whole vectors; the last begins so early that it ends with the row. */
INLINE void write_exponentials_from(const float *restrict z, float *restrict e, int64_t count, float greatest)
{
    for (int64_t first = 0; first < count; first += LANES) {
        int64_t begin = first + LANES <= count ? first : count - LANES;
#pragma omp simd
        for (int64_t lane = 0; lane < LANES; lane++)
            e[begin + lane] = exp_of(z[begin + lane] - greatest);
    }
}

/* Write e, and return m. From z on so many numbers are readable, of which `count` are those of the row. */
INLINE float write_exponentials(const float *restrict z, float *restrict e, int64_t count, int64_t readable)
{
    if (count >= LANES) {
        float greatest = greatest_of(z, count / LANES * LANES), last = greatest_of(z + count - LANES, LANES);
        greatest = last > greatest ? last : greatest;
        write_exponentials_from(z, e, count, greatest);
        return greatest;
    }
    /* A short row is filled up to a vector, which takes no longer than a single number. */
    float filled[LANES];
    if (readable >= LANES)
        memcpy(filled, z, sizeof filled);
    else
        memcpy(filled, z, count * sizeof *z);
#pragma omp simd
    for (int64_t lane = 0; lane < LANES; lane++)
        filled[lane] = lane < count ? filled[lane] : -INFINITY;
    float greatest = greatest_of(filled, LANES), of_filled[LANES];
    write_exponentials_from(filled, of_filled, LANES, greatest);
    for (int64_t c = 0; c < count; c++)
        e[c] = of_filled[c];
    return greatest;
}

INLINE float sum_of_lanes(const Vector *vector)
{
    float lanes[LANES], sum = 0.0f;
    memcpy(lanes, vector, sizeof lanes);
    for (int64_t lane = 0; lane < LANES; lane++)
        sum += lanes[lane];
    return sum;
}

/* Add sum S e and sum (1 - S) e over all classes, or where cross entropy has a share over those other than the label. */
INLINE void add_sums(Sums *sums, const float *restrict s, const float *restrict e, int64_t count, int is_mixed, int64_t label)
{
    const Integers lanes = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    for (int64_t first = 0; first < count; first += CHUNK) {
        int64_t end = first + CHUNK < count ? first + CHUNK : count, c = first;
        Vector like = {0}, unlike = {0};
        for (; c + LANES <= end; c += LANES) {
            Vector of_s = vector_at(s + c), of_e = vector_at(e + c);
            if (is_mixed)
                of_e = (Vector)((Integers)of_e & (lanes != (int32_t)(label - c)));
            like += of_s * of_e;
            unlike += (1.0f - of_s) * of_e;
        }
        for (; c < end; c++) { /* one by one into the first lane */
            Vector of_s = {s[c]}, of_e = {is_mixed && c == label ? 0.0f : e[c]};
            like += of_s * of_e;
            unlike += (1.0f - of_s) * of_e;
        }
        if (end == count) {
            sums->last_like = like;
            sums->last_unlike = unlike;
        } else {
            sums->like += sum_of_lanes(&like);
            sums->unlike += sum_of_lanes(&unlike);
        }
    }
}

/* Add sum S and sum S (z - m) over the classes other than the label. A logit of -inf counts only where S is above 0. */
INLINE void add_neighbours(Sums *sums, const float *restrict z, const float *restrict s, int64_t count, int64_t label)
{
    for (int64_t first = 0; first < count; first += CHUNK) {
        int64_t end = first + CHUNK < count ? first + CHUNK : count;
        float neighbours = 0.0f, between = 0.0f;
#pragma omp simd reduction(+ : neighbours, between)
        for (int64_t c = first; c < end; c++) {
            float of_s = c == label ? 0.0f : s[c], product = of_s * (z[c] - sums->greatest);
            neighbours += of_s;
            between += of_s > 0.0f ? product : 0.0f;
        }
        sums->neighbours += neighbours;
        sums->between += between;
    }
}

/* Write e and the sums for the similarities s of all classes. */
INLINE void full_sums(const float *restrict z, const float *restrict s, float *restrict e, int64_t count,
                                       int64_t readable, Sums *sums)
{
    *sums = (Sums){0};
    sums->greatest = write_exponentials(z, e, count, readable);
    add_sums(sums, s, e, count, 0, 0);
}

/* The same where cross entropy has a share. */
INLINE void full_mixed_sums(const float *restrict z, const float *restrict s, float *restrict e,
                                             int64_t count, int64_t readable, int64_t label, int is_smoothed, Sums *sums)
{
    *sums = (Sums){0};
    sums->greatest = write_exponentials(z, e, count, readable);
    sums->own = e[label];
    add_sums(sums, s, e, count, 1, label);
    if (is_smoothed)
        add_neighbours(sums, z, s, count, label);
}

/* Write the slopes over e. The last vector ends with the row, and begins with classes that the others have done already:
 * its e is read before. */
INLINE void full_slopes(const float *restrict s, float *restrict e, int64_t count, float factor, float ratio)
{
    if (count < LANES) {
        for (int64_t c = 0; c < count; c++)
            e[c] = (e[c] * factor) * ((1.0f - s[c]) - s[c] * ratio);
        return;
    }
    Vector last_s = vector_at(s + count - LANES), last = vector_at(e + count - LANES);
#pragma omp simd
    for (int64_t c = 0; c < count / LANES * LANES; c++)
        e[c] = (e[c] * factor) * ((1.0f - s[c]) - s[c] * ratio);
    last = (last * factor) * ((1.0f - last_s) - last_s * ratio);
    memcpy(e + count - LANES, &last, sizeof last);
}

/* What the slopes of a row need where cross entropy has a share. */
typedef struct {
    float factor, ratio, share, other; /* scale / d, share b / a, share and 1 - share */
    float lift, pull;                  /* what cross entropy's target gives to another class is S lift pull */
} Mixed;

INLINE float mixed_slope(const Mixed *mixed, float e, float s)
{
    return (e * mixed->factor) * ((mixed->share * (1.0f - s) + mixed->other) - s * mixed->ratio);
}

/* The slope of the label itself is written by the caller. */
INLINE void full_mixed_slopes(const float *restrict s, float *restrict e, int64_t count, const Mixed *given)
{
    const Mixed mixed = *given;
    if (mixed.pull != 0.0f) {
#pragma omp simd
        for (int64_t c = 0; c < count; c++)
            e[c] = mixed_slope(&mixed, e[c], s[c]) - (s[c] * mixed.lift) * mixed.pull;
    } else if (count < LANES) {
        for (int64_t c = 0; c < count; c++)
            e[c] = mixed_slope(&mixed, e[c], s[c]);
    } else {
        float last[LANES];
        memcpy(last, e + count - LANES, sizeof last);
#pragma omp simd
        for (int64_t c = 0; c < count / LANES * LANES; c++)
            e[c] = mixed_slope(&mixed, e[c], s[c]);
#pragma omp simd
        for (int64_t lane = 0; lane < LANES; lane++)
            e[count - LANES + lane] = mixed_slope(&mixed, last[lane], s[count - LANES + lane]);
    }
}

/* Write e, and return m. */
FOR_EACH_MACHINE static float exponentials(const float *restrict z, float *restrict e, int64_t count, int64_t readable)
{
    return write_exponentials(z, e, count, readable);
}

FOR_EACH_MACHINE static double sum_of(const float *e, int64_t count)
{
    double total = 0.0;
    for (int64_t first = 0; first < count; first += CHUNK) {
        int64_t last = first + CHUNK < count ? first + CHUNK : count;
        float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
        for (int64_t c = first; c < last; c++)
            sum += e[c];
        total += sum;
    }
    return total;
}

FOR_EACH_MACHINE static void multiply(float *e, int64_t count, float factor)
{
#pragma omp simd
    for (int64_t c = 0; c < count; c++)
        e[c] *= factor;
}

INLINE void widen(const uint16_t *restrict from, float *restrict to, int64_t count)
{
#pragma omp simd
    for (int64_t c = 0; c < count; c++) {
        uint32_t bits = (uint32_t)from[c] << 16;
        memcpy(&to[c], &bits, sizeof bits);
    }
}

/* Round to the nearest bfloat16, of two equally near ones to the even one. NaN stays NaN. */
INLINE void narrow(const float *restrict from, uint16_t *restrict to, int64_t count)
{
#pragma omp simd
    for (int64_t c = 0; c < count; c++) {
        uint32_t bits;
        memcpy(&bits, &from[c], sizeof bits);
        uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
        to[c] = (uint16_t)(from[c] == from[c] ? rounded : 0x7fc0);
    }
}

/* All that the rows have in common. Pointers are NULL where there is no such thing. */
typedef struct {
    const char *logits;
    const float *values, *scale;
    const int64_t *labels, *crow_indices;
    const int32_t *col_indices;
    char *gradient;
    float *losses;
    double common, share, smoothing; /* common is the scale of all rows where there is none for each */
    int is_bfloat16;                 /* logits and gradient; strides count numbers */
    int64_t count, classes, logits_stride, values_stride, scale_stride, gradient_stride, entries, ignore_index;
} Job;

/* Write e with 0 for the classes that have an entry, whose e go to `taken`, and the sums. */
APART static void sparse_sums(const Job *job, const float *z, int64_t readable, float *e, float *taken, int64_t label, int64_t first,
                        int64_t last, Sums *sums)
{
    *sums = (Sums){0};
    int is_mixed = job->share != 1.0;
    sums->greatest = exponentials(z, e, job->classes, readable);
    sums->own = e[label];
    for (int64_t i = first; i < last; i++) {
        int32_t column = job->col_indices[i];
        taken[i - first] = e[column];
        e[column] = 0.0f;
        if (is_mixed && column == label)
            continue;
        double s = job->values[i];
        sums->like += s * taken[i - first];
        sums->unlike += (1.0 - job->values[i]) * taken[i - first];
        sums->neighbours += s;
        sums->between += s > 0.0 ? s * ((double)z[column] - sums->greatest) : 0.0;
    }
    if (is_mixed)
        e[label] = 0.0f;
    sums->unlike += sum_of(e, job->classes);
}

APART static void sparse_slopes(const Job *job, float *e, const float *taken, int64_t first, int64_t last, float factor, float ratio)
{
    multiply(e, job->classes, factor);
    for (int64_t i = first; i < last; i++) {
        float s = job->values[i];
        e[job->col_indices[i]] = (taken[i - first] * factor) * ((1.0f - s) - s * ratio);
    }
}

APART static void sparse_mixed_slopes(const Job *job, float *e, const float *taken, int64_t first, int64_t last, const Mixed *mixed)
{
    multiply(e, job->classes, mixed->factor);
    for (int64_t i = first; i < last; i++) {
        float s = job->values[i];
        e[job->col_indices[i]] = mixed_slope(mixed, taken[i - first], s) - (s * mixed->lift) * mixed->pull;
    }
}

static int columns_are_classes(const Job *job, int64_t first, int64_t last)
{
    if (first < 0 || last < first || last > job->entries || last - first > job->classes)
        return 0;
    for (int64_t i = first; i < last; i++)
        if (job->col_indices[i] < 0 || job->col_indices[i] >= job->classes)
            return 0;
    return 1;
}

/* The losses of some rows before their logarithms are taken: constant + sum factor log1p(x). Logarithms take longer than
 * the rest of a short row, so they are taken side by side. */
enum { BATCH = 16, TERMS = 3, CACHED = 4096 };
typedef struct {
    double constant[BATCH], factor[TERMS][BATCH], x[TERMS][BATCH];
    int terms; /* those in use */
} Batch;

/* log(1 + x) for x >= 0, infinite x apart, to the last digits of a double, with NaN going through. 1 + x is u, and what
 * that rounds away, c, is put back as c / u. With u = 2^k (1 + f), 1 + f between sqrt(1/2) and sqrt(2), and s = f / (2 + f),
 * log(1 + f) = 2 artanh(s) = 2 (s + s^3 / 3 + s^5 / 5 + ...). */
INLINE double log1p_of(double x)
{
    double u = 1.0 + x, c = (x > 1.0 ? 1.0 - (u - x) : x - (u - 1.0)) / u;
    int64_t bits;
    memcpy(&bits, &u, sizeof bits);
    int64_t above = bits - 0x3fe6a09e667f3bcd; /* sqrt(1/2) */
    double k = (double)(int32_t)(above >> 52);
    bits -= above & (int64_t)0xfff0000000000000;
    double m, f, s, w, series = 0.0;
    memcpy(&m, &bits, sizeof m);
    f = m - 1.0;
    s = f / (2.0 + f);
    w = s * s;
    for (int n = 25; n >= 3; n -= 2)
        series = series * w + 1.0 / n;
    double tail = 2.0 * s * w * series + (k * 1.90821492927058770002e-10 + c); /* ln 2 in two parts, k times the first exact */
    double y = k * 6.93147180369123816490e-01 + (f - (s * f - tail));
    return x == x ? y : x;
}

INLINE void add_logarithms(const Batch *restrict batch, double *restrict losses)
{
    for (int lane = 0; lane < BATCH; lane++)
        losses[lane] = batch->constant[lane];
    for (int term = 0; term < batch->terms; term++) {
#pragma omp simd
        for (int lane = 0; lane < BATCH; lane++)
            losses[lane] += batch->factor[term][lane] * log1p_of(batch->x[term][lane]);
    }
}

/* Put cross entropy with smoothed labels in place: of e_y where that did not underflow, else of the logit z_y itself. */
INLINE void set_cross_entropy(Batch *batch, int place, const Sums *sums, double d, double rest, double behind, double smoothing, double factor)
{
    double own = factor * (1.0 - smoothing), log_d = factor * smoothing, constant = 0.0;
    if (sums->own > 0.0f)
        batch->x[1][place] = rest / sums->own;
    else {
        batch->x[1][place] = 0.0;
        if (own != 0.0) {
            log_d += own;
            constant = own * -behind;
        }
    }
    if (smoothing != 0.0)
        constant += factor * smoothing * -(sums->between / sums->neighbours);
    batch->factor[1][place] = own;
    if (log_d != 0.0) {
        batch->x[2][place] = fmax(d - 1.0, 0.0);
        batch->factor[2][place] = log_d;
        batch->terms = TERMS;
    }
    batch->constant[place] = constant;
}

/* A row between its sums and its slopes. */
typedef struct {
    Sums sums;
    const float *z, *s; /* s is NULL for a sparse matrix, whose entries are first to last - 1 */
    float *e, *taken;
    char *out;
    int64_t label, first, last;
} Row;

/* What a row needs to itself, in numbers: room for e, for what is taken from it, for logits in float32, and a vector. */
static int64_t room_of(const Job *job)
{
    return 3 * job->classes + LANES;
}

/* Compute the exponentials of a row and their sums. */
INLINE int begin(const Job *job, int64_t number, float *room, Row *row)
{
    int64_t label = job->labels[number], classes = job->classes;
    size_t width = job->is_bfloat16 ? sizeof(uint16_t) : sizeof(float);
    const char *in = job->logits + number * job->logits_stride * (int64_t)width;
    char *out = job->gradient ? job->gradient + number * job->gradient_stride * (int64_t)width : NULL;
    row->label = label;
    row->out = out;
    if (label == job->ignore_index) {
        if (out)
            memset(out, 0, classes * width);
        return IGNORED;
    }
    if (label < 0 || label >= classes)
        return NO_CLASS;
    if (job->crow_indices) {
        row->first = job->crow_indices[label];
        row->last = job->crow_indices[label + 1];
        if (!columns_are_classes(job, row->first, row->last))
            return BROKEN_MATRIX;
    }
    float *wide = room + 2 * classes;
    if (job->is_bfloat16)
        widen((const uint16_t *)in, wide, classes);
    row->z = job->is_bfloat16 ? wide : (const float *)in;
    /* In place, z has to outlive its exponentials: a far row is left to others. */
    row->e = !out || out == in || job->is_bfloat16 ? room : (float *)out;
    row->taken = room + classes;
    row->s = job->crow_indices ? NULL : job->values + label * job->values_stride;
    int64_t readable = job->is_bfloat16 ? classes + LANES : (job->count - 1 - number) * job->logits_stride + classes;
    if (!row->s)
        sparse_sums(job, row->z, readable, row->e, row->taken, label, row->first, row->last, &row->sums);
    else if (job->share != 1.0)
        full_mixed_sums(row->z, row->s, row->e, classes, readable, label, job->smoothing != 0.0, &row->sums);
    else
        full_sums(row->z, row->s, row->e, classes, readable, &row->sums);
    return DONE;
}

/* Put the loss of a row in its place of the batch, and write its slopes. */
INLINE int finish(const Job *job, int64_t number, const Row *row, Batch *batch, int place)
{
    const Sums *sums = &row->sums;
    int64_t classes = job->classes, label = row->label;
    int is_mixed = job->share != 1.0;
    float *e = row->e;
    double scale = job->scale ? job->scale[number * job->scale_stride] : job->common, share = job->share, smoothed = 0.0;
    double behind = (double)row->z[label] - sums->greatest;
    double like = is_mixed ? sums->like + sums->own : sums->like, d = like + sums->unlike, rest = sums->like + sums->unlike;
    if (share != 0.0 && like < classes * ((double)FLT_MIN / FLT_EPSILON))
        return FAR;
    double ratio = share != 0.0 ? sums->unlike / like : 0.0;
    batch->x[0][place] = ratio;
    batch->factor[0][place] = scale * share;
    if (is_mixed) {
        double smoothing = sums->neighbours > 0.0 ? job->smoothing : 0.0;
        smoothed = scale * (1.0 - share) * smoothing;
        set_cross_entropy(batch, place, sums, d, rest, behind, smoothing, scale * (1.0 - share));
    }
    if (!row->out)
        return DONE;
    float factor = (float)(scale / d);
    if (!is_mixed && row->s)
        full_slopes(row->s, e, classes, factor, (float)ratio);
    else if (!is_mixed)
        sparse_slopes(job, e, row->taken, row->first, row->last, factor, (float)ratio);
    else {
        double lift = sums->neighbours < 1e-20 ? 0x1p100 : 1.0; /* or the quotient may overflow */
        float pull = smoothed != 0.0 ? (float)(smoothed / (sums->neighbours * lift)) : 0.0f;
        Mixed mixed = {factor, (float)(share * ratio), (float)share, (float)(1.0 - share), (float)lift, pull};
        if (row->s)
            full_mixed_slopes(row->s, e, classes, &mixed);
        else
            sparse_mixed_slopes(job, e, row->taken, row->first, row->last, &mixed);
        e[label] = (float)(smoothed - scale / d * ((1.0 - share) * rest + share * ratio * sums->own));
    }
    if (job->is_bfloat16)
        narrow(e, (uint16_t *)row->out, classes);
    else if (e != (float *)row->out)
        memcpy(row->out, e, classes * sizeof *e);
    return DONE;
}

/* Compute the rows from first to last - 1, a batch at most; note the far ones, which are left as they were. Return the
 * worst of what became of them. Each stage is done for all rows before the next: of short rows the sums take long to wait
 * for, and not long to compute. */
FOR_EACH_MACHINE static int batch_of_rows(const Job *job, int64_t first, int64_t last, float *room, char *is_far)
{
    Row rows[BATCH];
    Batch batch = {.terms = job->share != 1.0 ? 2 : 1};
    double losses[BATCH];
    int found[BATCH], count = (int)(last - first), worst = DONE;
    for (int place = 0; place < count; place++)
        found[place] = begin(job, first + place, room + place * room_of(job), &rows[place]);
    for (int place = 0; place < count; place++) {
        if (found[place] != DONE)
            continue;
        rows[place].sums.like += sum_of_lanes(&rows[place].sums.last_like);
        rows[place].sums.unlike += sum_of_lanes(&rows[place].sums.last_unlike);
    }
    for (int place = 0; place < count; place++) {
        if (found[place] == DONE)
            found[place] = finish(job, first + place, &rows[place], &batch, place);
        is_far[first + place] = found[place] == FAR;
        worst = found[place] > worst ? found[place] : worst;
    }
    add_logarithms(&batch, losses);
    for (int place = 0; place < count; place++)
        job->losses[first + place] = (float)losses[place];
    return worst;
}

/* Compute all rows; note the far ones in `is_far`. Return the worst of what became of them. */
static int all_rows(const Job *job, char *is_far, int threads)
{
    int worst = DONE;
    /* Rows that stay in the first cache from stage to stage. */
    int64_t height = CACHED / job->classes < 1 ? 1 : CACHED / job->classes < BATCH ? CACHED / job->classes : BATCH;
#pragma omp parallel num_threads(threads) reduction(max : worst) if (threads > 1)
    {
        float *room = malloc(height * room_of(job) * sizeof *room);
        if (!room)
            worst = NO_MEMORY;
#pragma omp for schedule(static)
        for (int part = 0; part < threads; part++) {
            int64_t end = job->count * (part + 1) / threads;
            for (int64_t first = job->count * part / threads; first < end; first += height) {
                int64_t last = first + height < end ? first + height : end;
                int found = room ? batch_of_rows(job, first, last, room, is_far) : NO_MEMORY;
                worst = found > worst ? found : worst;
            }
        }
        free(room);
    }
    return worst;
}

static int64_t count_kept(const Job *job)
{
    int64_t kept = 0;
    for (int64_t number = 0; number < job->count; number++)
        kept += job->labels[number] != job->ignore_index;
    return kept;
}

/* Return the numbers of the far rows. */
static PyObject *list_of(const char *is_far, int64_t count)
{
    PyObject *far = PyList_New(0);
    for (int64_t number = 0; far && number < count; number++) {
        PyObject *one = is_far[number] ? PyLong_FromLongLong(number) : NULL;
        if (is_far[number] && (!one || PyList_Append(far, one) < 0))
            Py_CLEAR(far);
        Py_XDECREF(one);
    }
    return far;
}

/* All that Python passes, in this order; the names of native.py. */
enum {
    VALUES, VALUES_STRIDE, CROW_INDICES, COL_INDICES, ENTRIES,
    LOGITS, LOGITS_STRIDE, COUNT, CLASSES, LABELS, IGNORE_INDEX, SCALE, SCALE_STRIDE, IS_MEAN, MIX,
    GRADIENT, GRADIENT_STRIDE, LOSSES, IS_BFLOAT16, THREADS, ARGUMENTS
};

static PyObject *row_losses(PyObject *self, PyObject *const *given, Py_ssize_t length)
{
    int64_t argument[ARGUMENTS];
    (void)self;
    if (length != ARGUMENTS)
        return PyErr_Format(PyExc_TypeError, "row_losses takes %d numbers, got %zd", ARGUMENTS, length);
    for (int i = 0; i < ARGUMENTS; i++)
        argument[i] = PyLong_AsLongLong(given[i]);
    if (PyErr_Occurred())
        return NULL;
    const double *mix = (const double *)(intptr_t)argument[MIX];
    Job job = {
        .logits = (const char *)(intptr_t)argument[LOGITS],
        .labels = (const int64_t *)(intptr_t)argument[LABELS],
        .values = (const float *)(intptr_t)argument[VALUES],
        .crow_indices = (const int64_t *)(intptr_t)argument[CROW_INDICES],
        .col_indices = (const int32_t *)(intptr_t)argument[COL_INDICES],
        .scale = (const float *)(intptr_t)argument[SCALE],
        .gradient = (char *)(intptr_t)argument[GRADIENT],
        .losses = (float *)(intptr_t)argument[LOSSES],
        .common = 1.0,
        .share = mix ? mix[0] : 1.0,
        .smoothing = mix ? mix[1] : 0.0,
        .is_bfloat16 = (int)argument[IS_BFLOAT16],
        .count = argument[COUNT],
        .classes = argument[CLASSES],
        .logits_stride = argument[LOGITS_STRIDE],
        .values_stride = argument[VALUES_STRIDE],
        .scale_stride = argument[SCALE_STRIDE],
        .gradient_stride = argument[GRADIENT_STRIDE],
        .entries = argument[ENTRIES],
        .ignore_index = argument[IGNORE_INDEX],
    };
    char *is_far = malloc(job.count + 1);
    if (!is_far)
        return PyErr_NoMemory();
    int worst;
    long long kept;
    Py_BEGIN_ALLOW_THREADS
    kept = count_kept(&job);
    if (argument[IS_MEAN])
        job.common = (float)(1.0 / kept);
    worst = all_rows(&job, is_far, (int)argument[THREADS]);
    Py_END_ALLOW_THREADS
    PyObject *far = worst == FAR ? list_of(is_far, job.count) : Py_NewRef(Py_None);
    free(is_far);
    if (worst == NO_MEMORY) {
        Py_CLEAR(far);
        PyErr_NoMemory();
    }
    return far ? Py_BuildValue("iNL", worst, far, kept) : NULL;
}

static PyMethodDef methods[] = {
    {"row_losses", (PyCFunction)(void (*)(void))row_losses, METH_FASTCALL,
     "Compute rows in place, all of them by address; see simloss/rows/native.py."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_native", NULL, 0, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__native(void)
{
    return PyModule_Create(&module);
}
