// SPDX-License-Identifier: Apache-2.0
#include "train/event_file.h"

#include "base/file.h"
#include "base/memory.h"
#include "train/run_log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { EVENT_BYTES = 8192, TAG_BYTES = 128 };

struct event_file {
    int file;
    off_t bytes; // of whole records
    char path[1200];
};

static uint32_t crc_table[256];
static pthread_once_t crc_once = PTHREAD_ONCE_INIT;
static void crc_table_fill(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int bit = 0; bit < 8; bit++) c = c & 1 ? c >> 1 ^ 0x82F63B78u : c >> 1;
        crc_table[i] = c;
    }
}

uint32_t crc32c(const void *data, size_t bytes)
{
    pthread_once(&crc_once, crc_table_fill);
    const uint8_t *at = data;
    uint32_t c = 0xFFFFFFFFu;
    while (bytes--) c = c >> 8 ^ crc_table[(c ^ *at++) & 0xff];
    return ~c;
}

// A stored checksum is masked, so that a checksum of data that holds checksums stays good.
static uint32_t masked_crc(const void *data, size_t bytes)
{
    uint32_t c = crc32c(data, bytes);
    return (c >> 15 | c << 17) + 0xa282ead8u;
}

// ---- protobuf ----
struct message {
    uint8_t data[EVENT_BYTES];
    size_t used;
};

static void put_bytes(struct message *m, const void *data, size_t bytes)
{
    INVARIANT(bytes <= sizeof m->data - m->used, "an event is larger than %d bytes", EVENT_BYTES);
    memcpy(m->data + m->used, data, bytes);
    m->used += bytes;
}
static void put_little_endian(struct message *m, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++) put_bytes(m, &(uint8_t){(uint8_t)(value >> 8 * i)}, 1);
}
static void put_varint(struct message *m, uint64_t value)
{
    for (; value >= 0x80; value >>= 7) put_little_endian(m, (value & 0x7f) | 0x80, 1);
    put_little_endian(m, value, 1);
}
enum wire { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };
static void put_key(struct message *m, int field, enum wire wire)
{
    put_varint(m, (uint64_t)field << 3 | (uint64_t)wire);
}
static void put_field(struct message *m, int field, const void *data, size_t bytes)
{
    put_key(m, field, WIRE_BYTES);
    put_varint(m, bytes);
    put_bytes(m, data, bytes);
}
// Event: wall_time = 1 (double), step = 2 (int64).
static void put_event_start(struct message *m, double wall_time, int64_t step)
{
    uint64_t bits;
    memcpy(&bits, &wall_time, sizeof bits);
    put_key(m, 1, WIRE_64);
    put_little_endian(m, bits, 8);
    if (step) {
        put_key(m, 2, WIRE_VARINT);
        put_varint(m, (uint64_t)step);
    }
}
// Summary.Value: tag = 1 (string), simple_value = 2 (float).
static void put_value(struct message *summary, const struct measure *measure)
{
    struct message value = {.used = 0};
    float number = (float)measure->value;
    uint32_t bits;
    memcpy(&bits, &number, sizeof bits);
    put_field(&value, 1, measure->tag, strnlen(measure->tag, TAG_BYTES));
    put_key(&value, 2, WIRE_32);
    put_little_endian(&value, bits, 4);
    put_field(summary, 1, value.data, value.used);
}

// ---- the file ----
// u64 length, u32 masked CRC of the length, data, u32 masked CRC of the data; all little-endian, in one write.
static enum status write_record(struct event_file *file, const struct message *m)
{
    struct message record = {.used = 0};
    put_little_endian(&record, m->used, 8);
    put_little_endian(&record, masked_crc(record.data, 8), 4);
    put_bytes(&record, m->data, m->used);
    put_little_endian(&record, masked_crc(m->data, m->used), 4);
    enum status status = file_write_all(file->file, record.data, record.used, file->path);
    if (status == STATUS_OK) {
        file->bytes += (off_t)record.used;
        return STATUS_OK;
    }
    // A reader stops for good at a torn record.
    if (ftruncate(file->file, file->bytes) == 0) lseek(file->file, file->bytes, SEEK_SET);
    return status;
}

static enum status write_opening(struct event_file *file, double wall_time, int64_t first_step)
{
    static const char version[] = "brain.Event:2";
    struct message m = {.used = 0};
    put_event_start(&m, wall_time, 0);
    put_field(&m, 3, version, sizeof version - 1); // file_version
    TRY(write_record(file, &m));
    if (first_step <= 0) return STATUS_OK;
    m.used = 0;
    put_event_start(&m, wall_time, first_step);
    static const uint8_t session_start[] = {1 << 3 | WIRE_VARINT, 1}; // SessionLog.status = START
    put_field(&m, 7, session_start, sizeof session_start);
    return write_record(file, &m);
}

// A file that was not there before: the number at the end of its name grows until one is free.
static enum status create_new(struct event_file *file, const char *directory, double wall_time)
{
    char host[256];
    if (gethostname(host, sizeof host) != 0) snprintf(host, sizeof host, "localhost");
    host[sizeof host - 1] = 0;
    for (int n = 0; n < 1000; n++) {
        int length =
            snprintf(file->path, sizeof file->path, "%s/events.out.tfevents.%010lld.%s.%ld.%d",
                     directory, (long long)wall_time, host, (long)getpid(), n);
        if (length >= (int)sizeof file->path)
            FAIL(STATUS_DISK, "%s: the path is too long", directory);
        file->file = open(file->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (file->file >= 0) return STATUS_OK;
        if (errno != EEXIST) break;
    }
    FAIL(STATUS_DISK, "%s: cannot be made: %s", file->path, strerror(errno));
}

enum status event_file_create(const char *directory, double wall_time, int64_t first_step,
                              struct event_file **file_p)
{
    struct event_file *file;
    TRY(memory_allocate(1, sizeof *file, "the TensorBoard log", &file));
    enum status status = create_new(file, directory, wall_time);
    if (status) goto free_file;
    status = write_opening(file, wall_time, first_step);
    if (status) goto close_file;
    *file_p = file;
    return STATUS_OK;

close_file:
    close(file->file);
    unlink(file->path);
free_file:
    free(file);
    return status;
}

enum status event_file_write(struct event_file *file, double wall_time, int64_t step,
                             const struct measure *measure, int count)
{
    struct message summary = {.used = 0}, event = {.used = 0};
    for (int i = 0; i < count; i++) {
        // A message holds some 50 measures with the longest tags.
        if (summary.used + (size_t)2 * TAG_BYTES > EVENT_BYTES - 64) break;
        put_value(&summary, &measure[i]);
    }
    put_event_start(&event, wall_time, step);
    put_field(&event, 5, summary.data, summary.used);
    return write_record(file, &event);
}

void event_file_close(struct event_file *file)
{
    if (!file) return;
    close(file->file);
    free(file);
}
