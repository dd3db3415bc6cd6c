// SPDX-License-Identifier: Apache-2.0
// The header of a safetensors file, read as if an enemy had written it.
//
// Every entry is checked as it is read, and the bytes that entries claim are summed: tensors that overlap claim more than there
// is, so a bomb of millions of them ends early. What is left is one sort by place (no hole, no overlap, nothing behind) and one
// by name (no duplicate). Source: huggingface/safetensors, README and tensor.rs; cases: test/store/test_safetensors.c.
#include "base/memory.h"
#include "store/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_METADATA = 1 << 16 };
static const uint64_t MOST_OFFSET = UINT64_C(1) << 48;

static const struct {
    const char *name;
    int bits;
} dtypes[] = {
    {"F32", 32},    {"BF16", 16},   {"F16", 16},        {"F64", 64},        {"I64", 64},
    {"I32", 32},    {"I16", 16},    {"I8", 8},          {"U64", 64},        {"U32", 32},
    {"U16", 16},    {"U8", 8},      {"BOOL", 8},        {"C64", 64},        {"F8_E5M2", 8},
    {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"F8_E5M2FNUZ", 8}, {"F8_E4M3FNUZ", 8}, {"F6_E2M3", 6},
    {"F6_E3M2", 6}, {"F4", 4},
};

int dtype_bits(const char *dtype)
{
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
        if (strcmp(dtypes[i].name, dtype) == 0) return dtypes[i].bits;
    return 0;
}

// "file: tensor name: ", the start of every message about a tensor.
struct subject {
    char text[256 + SHOWN];
};

static const char *subject(struct subject *subject, const char *path, const char *name)
{
    char name_shown[SHOWN];
    snprintf(subject->text, sizeof subject->text, "%.*s: tensor \"%s\"", CUT(path, 240),
             shown(name, name_shown, sizeof name_shown));
    return subject->text;
}

static bool has_control(const char *name)
{
    for (; *name; name++)
        if ((unsigned char)*name < 0x20 || *name == 0x7f) return true;
    return false;
}

// ---- one entry ----
enum field { FIELD_DTYPE = 1, FIELD_SHAPE = 2, FIELD_OFFSETS = 4, FIELD_ALL = 7 };

static enum status read_dtype(struct scan *scan, struct tensor_entry *entry)
{
    char *dtype, dtype_shown[SHOWN];
    struct subject s;
    TRY(scan_string(scan, MOST_NAME, &dtype));
    if (dtype_bits(dtype) == 0)
        FAIL(STATUS_INPUT,
             "%s has the unknown dtype \"%s\"; F32, BF16, F16, F64, I64 and the like are known",
             subject(&s, scan->source, entry->name), shown(dtype, dtype_shown, sizeof dtype_shown));
    snprintf(entry->dtype, sizeof entry->dtype, "%s", dtype);
    return STATUS_OK;
}

static enum status read_shape(struct scan *scan, struct tensor_entry *entry)
{
    struct subject s;
    bool more;
    TRY(scan_open(scan, '['));
    for (entry->rank = 0;; entry->rank++) {
        uint64_t size;
        TRY(scan_more(scan, ']', &more));
        if (!more) return STATUS_OK;
        if (entry->rank == SAFETENSORS_MAX_RANK)
            FAIL(STATUS_INPUT, "%s has more than %d dimensions",
                 subject(&s, scan->source, entry->name), SAFETENSORS_MAX_RANK);
        TRY(scan_unsigned(scan, &size));
        if (size > INT64_MAX)
            FAIL(STATUS_INPUT, "%s has a dimension of %llu, more than fits in memory",
                 subject(&s, scan->source, entry->name), (unsigned long long)size);
        entry->size[entry->rank] = (int64_t)size;
    }
}

static enum status read_offsets(struct scan *scan, struct tensor_entry *entry)
{
    struct subject s;
    uint64_t offset[2] = {0, 0};
    bool more;
    int count = 0;
    TRY(scan_open(scan, '['));
    for (;; count++) {
        TRY(scan_more(scan, ']', &more));
        if (!more || count == 2) break;
        TRY(scan_unsigned(scan, &offset[count]));
    }
    if (more || count != 2)
        FAIL(STATUS_INPUT, "%s needs two data_offsets, begin and end",
             subject(&s, scan->source, entry->name));
    entry->begin = offset[0];
    entry->end = offset[1];
    return STATUS_OK;
}

static enum status read_field(struct scan *scan, struct tensor_entry *entry, unsigned *seen)
{
    struct subject s;
    char *key, key_shown[SHOWN];
    TRY(scan_key(scan, MOST_NAME, &key));
    unsigned field = strcmp(key, "dtype") == 0          ? FIELD_DTYPE
                     : strcmp(key, "shape") == 0        ? FIELD_SHAPE
                     : strcmp(key, "data_offsets") == 0 ? FIELD_OFFSETS
                                                        : 0;
    if (!field || *seen & field)
        FAIL(STATUS_INPUT,
             "%s has %s key \"%s\"; it needs dtype, shape and data_offsets, each once",
             subject(&s, scan->source, entry->name), field ? "a second" : "the unknown",
             shown(key, key_shown, sizeof key_shown));
    *seen |= field;
    if (field == FIELD_DTYPE) return read_dtype(scan, entry);
    return field == FIELD_SHAPE ? read_shape(scan, entry) : read_offsets(scan, entry);
}

// Bytes of shape x dtype; refuses what overflows or ends inside a byte.
static enum status entry_bytes(const struct tensor_entry *entry, const char *path,
                               uint64_t *bytes_p)
{
    struct subject s;
    uint64_t count = 1, bits;
    bool overflow = false;
    // As the Rust reader does: a product that overflows on its way is refused even where a later 0 would make it 0.
    for (int i = 0; i < entry->rank; i++)
        overflow = __builtin_mul_overflow(count, (uint64_t)entry->size[i], &count) || overflow;
    if (overflow || __builtin_mul_overflow(count, (uint64_t)dtype_bits(entry->dtype), &bits))
        FAIL(STATUS_INPUT, "%s has a shape whose bytes no number can count",
             subject(&s, path, entry->name));
    if (bits % 8)
        FAIL(STATUS_INPUT, "%s: %llu elements of %s do not fill whole bytes",
             subject(&s, path, entry->name), (unsigned long long)count, entry->dtype);
    *bytes_p = bits / 8;
    return STATUS_OK;
}

static enum status check_place(const struct tensor_entry *entry, const char *path,
                               uint64_t data_bytes)
{
    struct subject s;
    uint64_t bytes = 0;
    unsigned long long begin = entry->begin, end = entry->end;
    if (entry->end < entry->begin)
        FAIL(STATUS_INPUT, "%s ends at %llu, before it begins at %llu",
             subject(&s, path, entry->name), end, begin);
    if (entry->end > MOST_OFFSET)
        FAIL(STATUS_INPUT, "%s ends at %llu, beyond any file", subject(&s, path, entry->name), end);
    TRY(entry_bytes(entry, path, &bytes));
    if (bytes != entry->end - entry->begin)
        FAIL(STATUS_INPUT,
             "%s: its shape and dtype take %llu bytes, its data_offsets [%llu, %llu] hold %llu",
             subject(&s, path, entry->name), (unsigned long long)bytes, begin, end, end - begin);
    if (entry->end > data_bytes)
        FAIL(STATUS_INPUT,
             "%s ends at byte %llu of the data, of which the file has %llu: it was cut short",
             subject(&s, path, entry->name), end, (unsigned long long)data_bytes);
    return STATUS_OK;
}

// An entry whose name was read.
static enum status read_entry(struct scan *scan, struct tensor_entry *entry, uint64_t data_bytes)
{
    struct subject s;
    unsigned seen = 0;
    bool more;
    if (!entry->name[0]) FAIL(STATUS_INPUT, "%s: a tensor has an empty name", scan->source);
    if (has_control(entry->name))
        FAIL(STATUS_INPUT, "%s has control characters in its name",
             subject(&s, scan->source, entry->name));
    TRY(scan_open(scan, '{'));
    for (;;) {
        TRY(scan_more(scan, '}', &more));
        if (!more) break;
        TRY(read_field(scan, entry, &seen));
    }
    if (seen != FIELD_ALL)
        FAIL(STATUS_INPUT, "%s lacks %s", subject(&s, scan->source, entry->name),
             !(seen & FIELD_DTYPE)   ? "dtype"
             : !(seen & FIELD_SHAPE) ? "shape"
                                     : "data_offsets");
    return check_place(entry, scan->source, data_bytes);
}

// ---- metadata ----
static int by_key(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static enum status read_metadata(struct scan *scan, struct safetensors *file)
{
    size_t count = 0, capacity = 0;
    bool more;
    char key_shown[SHOWN];
    if (file->metadata) FAIL(STATUS_INPUT, "%s: __metadata__ stands there twice", file->path);
    TRY(memory_allocate(1, sizeof *file->metadata, "metadata", &file->metadata));
    TRY(scan_open(scan, '{'));
    for (;; count++) {
        TRY(scan_more(scan, '}', &more));
        if (!more) break;
        if (count == MOST_METADATA)
            FAIL(STATUS_INPUT, "%s: __metadata__ has more than %d entries", file->path,
                 (int)MOST_METADATA);
        if (count == capacity) {
            capacity = capacity ? 2 * capacity : 4;
            TRY(memory_grow(&file->metadata, 2 * capacity + 1, sizeof *file->metadata, "metadata"));
        }
        TRY(scan_key(scan, MOST_NAME, &file->metadata[2 * count]));
        TRY(scan_string(scan, SIZE_MAX, &file->metadata[2 * count + 1]));
    }
    qsort(file->metadata, count, 2 * sizeof *file->metadata, by_key);
    for (size_t i = 1; i < count; i++)
        if (strcmp(file->metadata[2 * i], file->metadata[2 * i - 2]) == 0)
            FAIL(STATUS_INPUT, "%s: __metadata__ has the key \"%s\" twice", file->path,
                 shown(file->metadata[2 * i], key_shown, sizeof key_shown));
    file->metadata[2 * count] = NULL;
    file->metadata_count = (int)count;
    return STATUS_OK;
}

// ---- all entries ----
static enum status read_entries(struct scan *scan, struct safetensors *file, uint64_t data_bytes)
{
    struct subject s;
    uint64_t claimed = 0;
    int capacity = 0;
    bool more;
    TRY(scan_open(scan, '{'));
    for (;;) {
        char *name;
        TRY(scan_more(scan, '}', &more));
        if (!more) return STATUS_OK;
        TRY(scan_key(scan, MOST_NAME, &name));
        if (strcmp(name, "__metadata__") == 0) {
            TRY(read_metadata(scan, file));
            continue;
        }
        if (file->count == MOST_TENSORS)
            FAIL(STATUS_INPUT, "%s: more than %d tensors", file->path, (int)MOST_TENSORS);
        if (file->count == capacity) {
            capacity = capacity ? 2 * capacity : 16;
            TRY(memory_grow(&file->tensor, (size_t)capacity, sizeof *file->tensor,
                            "a list of tensors"));
        }
        struct tensor_entry *entry = &file->tensor[file->count];
        *entry = (struct tensor_entry){.name = name};
        TRY(read_entry(scan, entry, data_bytes));
        claimed += entry->end - entry->begin; // both terms are at most data_bytes
        if (claimed > data_bytes)
            FAIL(STATUS_INPUT,
                 "%s overlaps another one: together they claim more than the %llu bytes of data",
                 subject(&s, file->path, name), (unsigned long long)data_bytes);
        file->count++;
    }
}

static int by_place(const void *a, const void *b)
{
    const struct tensor_entry *x = a, *y = b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    return x->end < y->end ? -1 : x->end > y->end;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct tensor_entry *)a)->name, ((const struct tensor_entry *)b)->name);
}

static enum status check_places(struct safetensors *file, uint64_t data_bytes)
{
    struct subject s;
    uint64_t expected = 0;
    if (file->count) qsort(file->tensor, (size_t)file->count, sizeof *file->tensor, by_place);
    for (int i = 0; i < file->count; i++) {
        const struct tensor_entry *entry = &file->tensor[i];
        if (entry->begin != expected)
            FAIL(STATUS_INPUT,
                 "%s begins at %llu where %llu is expected: tensors must follow one another %s",
                 subject(&s, file->path, entry->name), (unsigned long long)entry->begin,
                 (unsigned long long)expected,
                 entry->begin < expected ? "without overlap" : "without a hole");
        expected = entry->end;
    }
    if (expected != data_bytes)
        FAIL(STATUS_INPUT,
             "%s: %llu bytes stand behind the last tensor; nothing may be hidden there", file->path,
             (unsigned long long)(data_bytes - expected));
    return STATUS_OK;
}

enum status header_parse(struct safetensors *file, size_t header_bytes, uint64_t data_bytes)
{
    struct subject s;
    struct scan scan;
    scan_start(&scan, file->header, header_bytes, file->path);
    TRY(read_entries(&scan, file, data_bytes));
    TRY(scan_finish(&scan));
    TRY(check_places(file, data_bytes));
    if (file->count) qsort(file->tensor, (size_t)file->count, sizeof *file->tensor, by_name);
    for (int i = 1; i < file->count; i++)
        if (strcmp(file->tensor[i].name, file->tensor[i - 1].name) == 0)
            FAIL(STATUS_INPUT, "%s stands there twice",
                 subject(&s, file->path, file->tensor[i].name));
    return STATUS_OK;
}
