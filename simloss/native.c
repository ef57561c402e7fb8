/* The loss of each row and its gradient on the CPU: row by row, while a row is in the cache.
 *
 * With m = max z, e = exp(z - m), a = sum S e, b = sum (1 - S) e and d = a + b, for the similarity row S of one label:
 *
 *     loss = log1p(b / a)            dloss/dz = (e / d) ((1 - S) - S b / a)
 *
 * Logits and gradient are float32 or bfloat16, all else is float32. blocks.py does the same with torch's operations, for
 * every dtype and wherever this file is not compiled. Threads share
 * the rows, and a row is summed in one order, so the numbers do not depend on how many there are. Memory is addressed by
 * what Python passes: native.py checks dtypes, shapes and strides, and here each label and each column of a sparse
 * matrix is compared with the number of classes before it is used.
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
#else
#define INLINE static inline
#endif

/* So many terms are added in float32 before their sum goes to a double: the error does not grow with C. */
enum { CHUNK = 1024 };

/* What became of a row. */
enum { DONE = 0, FAR = 1, NO_CLASS = 2, BROKEN_MATRIX = 3, NO_MEMORY = 4 };

typedef struct {
    double like, unlike; /* a and b */
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
    uint32_t bits;
    memcpy(&bits, &y, sizeof bits);
    bits += power << 23;
    memcpy(&y, &bits, sizeof y);
    /* The exponent of a NaN would have been changed, too. */
    return x < lowest ? 0.0f : x == x ? y : x;
}

INLINE float greatest_of(const float *z, int64_t count)
{
    float greatest = -INFINITY;
#pragma omp simd reduction(max : greatest)
    for (int64_t c = 0; c < count; c++)
        greatest = z[c] > greatest ? z[c] : greatest;
    return greatest;
}

/* Write e, and return its sums with and without the similarities s. */
FOR_EACH_MACHINE static Sums full_sums(const float *restrict z, const float *restrict s, float *restrict e, int64_t count)
{
    float greatest = greatest_of(z, count);
    Sums sums = {0.0, 0.0};
    for (int64_t first = 0; first < count; first += CHUNK) {
        int64_t last = first + CHUNK < count ? first + CHUNK : count;
        float like = 0.0f, unlike = 0.0f;
#pragma omp simd reduction(+ : like, unlike)
        for (int64_t c = first; c < last; c++) {
            float x = exp_of(z[c] - greatest);
            e[c] = x;
            like += s[c] * x;
            unlike += (1.0f - s[c]) * x;
        }
        sums.like += like;
        sums.unlike += unlike;
    }
    return sums;
}

FOR_EACH_MACHINE static void full_slopes(const float *restrict s, float *restrict e, int64_t count, float factor, float ratio)
{
#pragma omp simd
    for (int64_t c = 0; c < count; c++)
        e[c] = (e[c] * factor) * ((1.0f - s[c]) - s[c] * ratio);
}

/* Write e. */
FOR_EACH_MACHINE static void exponentials(const float *restrict z, float *restrict e, int64_t count)
{
    float greatest = greatest_of(z, count);
#pragma omp simd
    for (int64_t c = 0; c < count; c++)
        e[c] = exp_of(z[c] - greatest);
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

FOR_EACH_MACHINE static void widen(const uint16_t *restrict from, float *restrict to, int64_t count)
{
#pragma omp simd
    for (int64_t c = 0; c < count; c++) {
        uint32_t bits = (uint32_t)from[c] << 16;
        memcpy(&to[c], &bits, sizeof bits);
    }
}

/* Round to the nearest bfloat16, of two equally near ones to the even one. NaN stays NaN. */
FOR_EACH_MACHINE static void narrow(const float *restrict from, uint16_t *restrict to, int64_t count)
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
    int is_bfloat16; /* logits and gradient; strides count numbers */
    int64_t count, classes, logits_stride, values_stride, scale_stride, gradient_stride, entries, ignore_index;
} Job;

/* Return the e of the row with the entries taken out, and in `taken` the e of the entries: what is left is summed, since
 * a difference would lose the digits of a small b. */
static Sums sparse_sums(const Job *job, const float *z, float *e, float *taken, int64_t first, int64_t last)
{
    Sums sums = {0.0, 0.0};
    exponentials(z, e, job->classes);
    for (int64_t i = first; i < last; i++) {
        int32_t column = job->col_indices[i];
        taken[i - first] = e[column];
        e[column] = 0.0f;
        sums.like += (double)job->values[i] * taken[i - first];
        sums.unlike += (1.0 - job->values[i]) * taken[i - first];
    }
    sums.unlike += sum_of(e, job->classes);
    return sums;
}

static void sparse_slopes(const Job *job, float *e, const float *taken, int64_t first, int64_t last, float factor, float ratio)
{
    multiply(e, job->classes, factor);
    for (int64_t i = first; i < last; i++) {
        float s = job->values[i];
        e[job->col_indices[i]] = (taken[i - first] * factor) * ((1.0f - s) - s * ratio);
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

/* Compute one row. `room` holds 3 C numbers. A far row, whose a may have lost digits to underflow, is left as it was. */
static int row(const Job *job, int64_t number, float *room)
{
    int64_t label = job->labels[number], classes = job->classes, first = 0, last = 0;
    size_t width = job->is_bfloat16 ? sizeof(uint16_t) : sizeof(float);
    const char *in = job->logits + number * job->logits_stride * (int64_t)width;
    char *out = job->gradient ? job->gradient + number * job->gradient_stride * (int64_t)width : NULL;
    if (label == job->ignore_index) {
        job->losses[number] = 0.0f;
        if (out)
            memset(out, 0, classes * width);
        return DONE;
    }
    if (label < 0 || label >= classes)
        return NO_CLASS;
    if (job->crow_indices) {
        first = job->crow_indices[label];
        last = job->crow_indices[label + 1];
        if (!columns_are_classes(job, first, last))
            return BROKEN_MATRIX;
    }
    float *taken = room + classes, *wide = room + 2 * classes;
    if (job->is_bfloat16)
        widen((const uint16_t *)in, wide, classes);
    const float *z = job->is_bfloat16 ? wide : (const float *)in;
    /* In place, z has to outlive its exponentials: a far row is left to others. */
    int is_elsewhere = !out || out == in || job->is_bfloat16;
    float *e = is_elsewhere ? room : (float *)out;
    const float *s = job->crow_indices ? NULL : job->values + label * job->values_stride;
    Sums sums = s ? full_sums(z, s, e, classes) : sparse_sums(job, z, e, taken, first, last);
    if (sums.like < classes * ((double)FLT_MIN / FLT_EPSILON))
        return FAR;
    double ratio = sums.unlike / sums.like, scale = job->scale ? job->scale[number * job->scale_stride] : 1.0;
    job->losses[number] = (float)(scale * log1p(ratio));
    if (!out)
        return DONE;
    float factor = (float)(scale / (sums.like + sums.unlike));
    if (s)
        full_slopes(s, e, classes, factor, (float)ratio);
    else
        sparse_slopes(job, e, taken, first, last, factor, (float)ratio);
    if (job->is_bfloat16)
        narrow(e, (uint16_t *)out, classes);
    else if (is_elsewhere)
        memcpy(out, e, classes * width);
    return DONE;
}

/* Compute all rows; note the far ones in `is_far`. Return the worst of what became of them. */
static int rows(const Job *job, char *is_far, int threads)
{
    int worst = DONE;
#pragma omp parallel num_threads(threads) reduction(max : worst)
    {
        float *room = malloc(3 * job->classes * sizeof *room);
        if (!room)
            worst = NO_MEMORY;
#pragma omp for schedule(static)
        for (int64_t number = 0; number < job->count; number++) {
            int found = room ? row(job, number, room) : NO_MEMORY;
            is_far[number] = found == FAR;
            worst = found > worst ? found : worst;
        }
        free(room);
    }
    return worst;
}

static PyObject *row_losses(PyObject *self, PyObject *arguments)
{
    Job job;
    long long logits, labels, values, crow_indices, col_indices, scale, gradient, losses, is_far;
    long long count, classes, logits_stride, values_stride, entries, scale_stride, gradient_stride, ignore_index;
    int is_bfloat16, threads;
    (void)self;
    if (!PyArg_ParseTuple(arguments, "LLLLLLLLLLLLLLLLLii", &logits, &logits_stride, &count, &classes, &labels,
                          &ignore_index, &values, &values_stride, &crow_indices, &col_indices, &entries, &scale,
                          &scale_stride, &gradient, &gradient_stride, &losses, &is_far, &is_bfloat16, &threads))
        return NULL;
    job.logits = (const char *)(intptr_t)logits;
    job.labels = (const int64_t *)(intptr_t)labels;
    job.values = (const float *)(intptr_t)values;
    job.crow_indices = (const int64_t *)(intptr_t)crow_indices;
    job.col_indices = (const int32_t *)(intptr_t)col_indices;
    job.scale = (const float *)(intptr_t)scale;
    job.gradient = (char *)(intptr_t)gradient;
    job.losses = (float *)(intptr_t)losses;
    job.count = count;
    job.classes = classes;
    job.logits_stride = logits_stride;
    job.values_stride = values_stride;
    job.entries = entries;
    job.scale_stride = scale_stride;
    job.gradient_stride = gradient_stride;
    job.ignore_index = ignore_index;
    job.is_bfloat16 = is_bfloat16;
    int worst;
    Py_BEGIN_ALLOW_THREADS
    worst = rows(&job, (char *)(intptr_t)is_far, threads);
    Py_END_ALLOW_THREADS
    if (worst == NO_MEMORY)
        return PyErr_NoMemory();
    return PyLong_FromLong(worst);
}

static PyMethodDef methods[] = {
    {"row_losses", row_losses, METH_VARARGS, "Compute rows in place, all of them by address; see simloss/native.py."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_native", NULL, 0, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__native(void)
{
    return PyModule_Create(&module);
}
