// SPDX-License-Identifier: Apache-2.0
// Opening and reading safetensors files. Data are read with pread, so a file that shrinks meanwhile is an error, not a signal.
#include "store/safetensors.h"

#include "base/memory.h"
#include "store/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "safetensors are little-endian, and so are the machines we run on");

enum { MOST_HEADER = 100000000, LENGTH_BYTES = 8, PIECE = 4096 };

// ---- opening ----
// Links: the Hugging Face cache keeps files as links to ../../blobs/<hash>; any other way out of the folder is refused.
static enum status check_link(const char *path)
{
    struct stat about;
    if (lstat(path, &about) || !S_ISLNK(about.st_mode)) return STATUS_OK;
    char folder[STORE_PATH], blobs[STORE_PATH + 16], *target = realpath(path, NULL), *home = NULL,
                                                     *cache = NULL;
    const char *slash = strrchr(path, '/');
    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - path + 1) : 2,
             slash ? path : "./");
    snprintf(blobs, sizeof blobs, "%s../../blobs", folder);
    home = realpath(folder, NULL);
    cache = realpath(blobs, NULL);
    size_t home_length = home ? strlen(home) : 0, cache_length = cache ? strlen(cache) : 0;
    bool inside =
        target && home && strncmp(target, home, home_length) == 0 && target[home_length] == '/';
    bool cached =
        target && cache && strncmp(target, cache, cache_length) == 0 && target[cache_length] == '/';
    enum status status = STATUS_OK;
    if (!inside && !cached)
        status = error_at(STATUS_INPUT, __FILE__, __LINE__,
                          "%s is a link out of its folder to %.*s; put the file itself there", path,
                          CUT(target ? target : "nowhere", 200));
    free(target);
    free(home);
    free(cache);
    return status;
}

static enum status read_header(struct safetensors *file, uint64_t file_bytes)
{
    uint8_t raw[LENGTH_BYTES];
    uint64_t length = 0;
    if (file_bytes < LENGTH_BYTES)
        FAIL(STATUS_INPUT,
             "%s has %llu bytes; a safetensors file starts with 8 bytes that tell its header's "
             "length",
             file->path, (unsigned long long)file_bytes);
    TRY(file_read_at(file->file, raw, sizeof raw, 0, file->path));
    for (int i = 0; i < LENGTH_BYTES; i++) length |= (uint64_t)raw[i] << (8 * i);
    if (length > MOST_HEADER)
        FAIL(STATUS_INPUT,
             "%s: a header of %llu bytes; at most %d are allowed (is it a safetensors file?)",
             file->path, (unsigned long long)length, (int)MOST_HEADER);
    if (length > file_bytes - LENGTH_BYTES)
        FAIL(STATUS_INPUT, "%s: a header of %llu bytes in a file of %llu: it was cut short",
             file->path, (unsigned long long)length, (unsigned long long)file_bytes);
    TRY(memory_allocate(length + 1, 1, "a safetensors header", &file->header));
    TRY(file_read_at(file->file, file->header, length, LENGTH_BYTES, file->path));
    file->data_start = LENGTH_BYTES + length;
    return header_parse(file, length, file_bytes - file->data_start);
}

static enum status open_checked(const char *path, bool follow, struct safetensors **file_p)
{
    struct safetensors *file;
    uint64_t bytes;
    TRY(memory_allocate(1, sizeof *file, "a safetensors file", &file));
    file->file = -1;
    enum status status = memory_copy_string(path, &file->path);
    if (status) goto close_file;
    status = file_open(path, follow, &file->file, &bytes);
    if (status) goto close_file;
    status = read_header(file, bytes);
    if (status) goto close_file;
    *file_p = file;
    return STATUS_OK;
close_file:
    safetensors_close(file);
    return error_trace(status, __FILE__, __LINE__);
}

enum status safetensors_open(const char *path, struct safetensors **file_p)
{
    TRY(check_link(path));
    return open_checked(path, true, file_p);
}

enum status safetensors_open_plain(const char *path, struct safetensors **file_p)
{
    return open_checked(path, false, file_p);
}

void safetensors_close(struct safetensors *file)
{
    if (!file) return;
    file_close(file->file);
    free(file->tensor);
    free(file->metadata);
    free(file->header);
    free(file->path);
    free(file);
}

// ---- finding ----
static int compare_name(const void *name, const void *entry)
{
    return strcmp(name, ((const struct tensor_entry *)entry)->name);
}

const struct tensor_entry *safetensors_find(const struct safetensors *file, const char *name)
{
    if (!file->count) return NULL;
    return bsearch(name, file->tensor, (size_t)file->count, sizeof *file->tensor, compare_name);
}

const char *safetensors_metadata(const struct safetensors *file, const char *key)
{
    for (size_t i = 0; i < (size_t)file->metadata_count; i++)
        if (strcmp(file->metadata[2 * i], key) == 0) return file->metadata[2 * i + 1];
    return NULL;
}

// ---- numbers ----
static float from_bits(uint32_t bits)
{
    float number;
    memcpy(&number, &bits, sizeof number);
    return number;
}

// IEEE 754 binary16: 1 sign, 5 exponent, 10 fraction bits.
static float from_half(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000u) << 16, exponent = half >> 10 & 31u,
             fraction = half & 1023u;
    if (exponent == 31) return from_bits(sign | 0x7f800000u | fraction << 13);
    if (exponent) return from_bits(sign | (exponent + 112) << 23 | fraction << 13);
    // Subnormal: fraction * 2^-24, exact in float32.
    float small = (float)fraction * 0x1p-24f;
    return sign ? -small : small;
}

static void widen(const char *dtype, const unsigned char *from, size_t count, float *to)
{
    if (strcmp(dtype, "F64") == 0) {
        for (size_t i = 0; i < count; i++) {
            double number;
            memcpy(&number, from + 8 * i, sizeof number);
            to[i] = (float)number;
        }
        return;
    }
    bool brain = strcmp(dtype, "BF16") == 0;
    for (size_t i = 0; i < count; i++) {
        uint16_t half = (uint16_t)(from[2 * i] | from[2 * i + 1] << 8);
        to[i] = brain ? from_bits((uint32_t)half << 16) : from_half(half);
    }
}

// The first `bytes` bytes of a tensor.
static enum status read_widened(const struct safetensors *file, const struct tensor_entry *tensor,
                                uint64_t bytes, float *out)
{
    uint64_t at = file->data_start + tensor->begin;
    char name_shown[SHOWN];
    if (strcmp(tensor->dtype, "F32") == 0)
        return file_read_at(file->file, out, bytes, at, file->path);
    size_t size = (size_t)dtype_bits(tensor->dtype) / 8;
    if (strcmp(tensor->dtype, "F64") != 0 && strcmp(tensor->dtype, "F16") != 0 &&
        strcmp(tensor->dtype, "BF16") != 0)
        FAIL(STATUS_INPUT, "%s: tensor \"%s\" holds %s; F32, F64, F16 or BF16 is needed",
             file->path, shown(tensor->name, name_shown, sizeof name_shown), tensor->dtype);
    for (uint64_t done = 0; done < bytes;) {
        unsigned char piece[PIECE];
        size_t part = bytes - done < PIECE ? (size_t)(bytes - done) : PIECE;
        TRY(file_read_at(file->file, piece, part, at + done, file->path));
        widen(tensor->dtype, piece, part / size, out);
        out += part / size;
        done += part;
    }
    return STATUS_OK;
}

enum status safetensors_read_float(const struct safetensors *file,
                                   const struct tensor_entry *tensor, float *out)
{
    return read_widened(file, tensor, tensor->end - tensor->begin, out);
}

enum status safetensors_read_first(const struct safetensors *file,
                                   const struct tensor_entry *tensor, int64_t n, float *out)
{
    uint64_t bytes = (uint64_t)n * (uint64_t)dtype_bits(tensor->dtype) / 8;
    INVARIANT(bytes <= tensor->end - tensor->begin, "%s: the first %lld elements of %s", file->path,
              (long long)n, tensor->name);
    return read_widened(file, tensor, bytes, out);
}

enum status safetensors_read_part(const struct safetensors *file, const struct tensor_entry *tensor,
                                  int64_t first, int64_t n, float *out)
{
    uint64_t from = (uint64_t)first * sizeof *out, bytes = (uint64_t)n * sizeof *out;
    INVARIANT(strcmp(tensor->dtype, "F32") == 0 && from + bytes <= tensor->end - tensor->begin,
              "%s: elements [%lld, + %lld) of %s", file->path, (long long)first, (long long)n,
              tensor->name);
    return file_read_at(file->file, out, bytes, file->data_start + tensor->begin + from,
                        file->path);
}
