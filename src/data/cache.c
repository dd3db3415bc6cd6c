// SPDX-License-Identifier: Apache-2.0
#include "data/cache.h"

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "caches are mapped as they lie");

enum {
    PATH_BYTES = 4096,
    BUFFER_BYTES = 1 << 20,
    VERIFY_BYTES = 1 << 20,
    VERSION = 2, // of the layout and of the tokenizers' rules; 2: U+180E is no space
    STALE_SECONDS = 60,
    LANES = 32
};

struct cache_header {
    char magic[8];
    uint32_t byte_order, version;
    uint32_t width, vocabulary; // bytes of an id; ids are below vocabulary
    uint64_t count, hash;       // of ids; XXH3 over them
    uint64_t fingerprint;       // of what they were made from
    uint64_t reserved;          // 0
    uint64_t check;             // XXH3 over the bytes before
};
_Static_assert(sizeof(struct cache_header) == 64, "the header has no padding");

static const char magic[8] = {'S', 'T', 'N', 'T', 'O', 'K', 'E', 'N'};
enum { BYTE_ORDER_MARK = 0x01020304 };

static uint32_t id_width(const struct cache_key *key)
{
    return key->vocabulary <= 1u << 16 ? 2 : 4;
}

static uint64_t header_check(const struct cache_header *header)
{
    return XXH3_64bits(header, offsetof(struct cache_header, check));
}

static struct cache_header make_header(const struct cache_key *key, uint64_t count, uint64_t hash)
{
    struct cache_header header = {.byte_order = BYTE_ORDER_MARK,
                                  .version = VERSION,
                                  .width = id_width(key),
                                  .vocabulary = key->vocabulary,
                                  .count = count,
                                  .hash = hash,
                                  .fingerprint = key->fingerprint};
    memcpy(header.magic, magic, sizeof magic);
    header.check = header_check(&header);
    return header;
}

// Takes over a mapping on success.
static enum status make_corpus(void *map, size_t bytes, const struct cache_header *header,
                               struct corpus **corpus_p)
{
    struct corpus *corpus;
    TRY(memory_allocate(1, sizeof *corpus, "a corpus", &corpus));
    const void *ids = (const uint8_t *)map + sizeof *header;
    *corpus = (struct corpus){
        .count = (int64_t)header->count, .hash = header->hash, .map = map, .map_bytes = bytes};
    if (header->width == 2)
        corpus->ids16 = ids;
    else
        corpus->ids32 = ids;
    *corpus_p = corpus;
    return STATUS_OK;
}

// ---- reading ----
// Over lanes of a fixed number, which compilers turn into vector instructions at -O2 too.
static uint32_t largest16(const uint16_t *ids, size_t count)
{
    uint16_t most[LANES] = {0};
    size_t whole = count - count % LANES;
    for (size_t i = 0; i < whole; i += LANES)
        for (size_t j = 0; j < LANES; j++) most[j] = ids[i + j] > most[j] ? ids[i + j] : most[j];
    for (size_t i = whole; i < count; i++) most[0] = ids[i] > most[0] ? ids[i] : most[0];
    for (size_t j = 1; j < LANES; j++) most[0] = most[j] > most[0] ? most[j] : most[0];
    return most[0];
}

static uint32_t largest32(const uint32_t *ids, size_t count)
{
    uint32_t most[LANES] = {0};
    size_t whole = count - count % LANES;
    for (size_t i = 0; i < whole; i += LANES)
        for (size_t j = 0; j < LANES; j++) most[j] = ids[i + j] > most[j] ? ids[i + j] : most[j];
    for (size_t i = whole; i < count; i++) most[0] = ids[i] > most[0] ? ids[i] : most[0];
    for (size_t j = 1; j < LANES; j++) most[0] = most[j] > most[0] ? most[j] : most[0];
    return most[0];
}

// What is wrong with the ids, NULL when nothing is. Hash and range in one pass, part by part, so that memory is read once.
static const char *find_bad_ids(const struct cache_header *header, const uint8_t *ids)
{
    XXH3_state_t *state = XXH3_createState();
    if (!state) return "no memory to verify it";
    XXH3_64bits_reset(state);
    uint64_t bytes = header->count * header->width;
    uint32_t largest = 0;
    for (uint64_t at = 0; at < bytes; at += VERIFY_BYTES) {
        size_t part = bytes - at < VERIFY_BYTES ? (size_t)(bytes - at) : VERIFY_BYTES;
        XXH3_64bits_update(state, ids + at, part);
        uint32_t found = header->width == 2
                             ? largest16((const uint16_t *)(const void *)(ids + at), part / 2)
                             : largest32((const uint32_t *)(const void *)(ids + at), part / 4);
        if (found > largest) largest = found;
    }
    uint64_t hash = XXH3_64bits_digest(state);
    XXH3_freeState(state);
    if (hash != header->hash) return "the hash of its ids is wrong";
    return largest < header->vocabulary ? NULL : "it has ids beyond the vocabulary";
}

// What is wrong with a file, NULL when nothing is; *changed_p: it is sound, but made of something else.
static const char *find_fault(const uint8_t *data, size_t bytes, const struct cache_key *key,
                              bool *changed_p)
{
    struct cache_header header;
    *changed_p = false;
    if (bytes < sizeof header) return "it is too short";
    memcpy(&header, data, sizeof header);
    if (memcmp(header.magic, magic, sizeof magic) != 0) return "it is no token cache";
    if (header.byte_order != BYTE_ORDER_MARK)
        return "it comes from a machine of another byte order";
    if (header.version != VERSION) return "it has another version";
    if (header.check != header_check(&header)) return "its header is damaged";
    if (header.fingerprint != key->fingerprint || header.vocabulary != key->vocabulary) {
        *changed_p = true;
        return "the text has changed";
    }
    if (header.width != id_width(key) || header.count == 0 || header.count > INT64_MAX / 4)
        return "its header is wrong";
    if (bytes - sizeof header != header.count * header.width) return "its length is wrong";
    return find_bad_ids(&header, data + sizeof header);
}

enum status cache_open(const char *path, const struct cache_key *key, struct corpus **corpus_p)
{
    *corpus_p = NULL;
    void *data;
    size_t bytes;
    bool changed;
    if (!file_exists(path)) return STATUS_OK;
    if (file_map(path, &data, &bytes)) {
        log_warning("%s; tokenizing again", error_message());
        error_clear();
        return STATUS_OK;
    }
    const char *fault = find_fault(data, bytes, key, &changed);
    if (fault) {
        if (changed)
            log_info("%s: %s; tokenizing again", path, fault);
        else
            log_warning("%s: %s; tokenizing again", path, fault);
        file_unmap(data, bytes);
        return STATUS_OK;
    }
    enum status status = make_corpus(data, bytes, data, corpus_p);
    if (status) file_unmap(data, bytes);
    return status;
}

// ---- writing ----
struct cache_writer {
    char path[PATH_BYTES], temporary[PATH_BYTES];
    struct cache_key key;
    int file;
    XXH3_state_t *state;
    uint64_t count;
    size_t used; // bytes in buffer
    uint8_t buffer[BUFFER_BYTES];
};

static const char temporary_mark[] = ".making-", cache_ending[] = ".tokens";

// Removes what a process that was killed has left: unlocked (a writer holds a lock) and not new.
static void remove_stale(const char *temporary)
{
    struct stat about;
    int file = open(temporary, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (file < 0) return;
    bool old = fstat(file, &about) == 0 && S_ISREG(about.st_mode) &&
               time(NULL) - about.st_mtim.tv_sec > STALE_SECONDS;
    if (old && flock(file, LOCK_EX | LOCK_NB) == 0 && unlink(temporary) == 0)
        log_info("%s: removed; a process that was killed had left it", temporary);
    close(file);
}

// Whether a name is NAME.making-…, or that of any cache: a text that changes, or its tokenizer, gives the next one another name.
static bool is_temporary(const char *found, const char *name)
{
    const char *mark = strstr(found, temporary_mark);
    size_t length = mark ? (size_t)(mark - found) : 0, ending = strlen(cache_ending);
    if (!mark) return false;
    if (length == strlen(name) && memcmp(found, name, length) == 0) return true;
    return length > ending && memcmp(mark - ending, cache_ending, ending) == 0;
}

static enum status remove_all_stale(const char *path)
{
    char folder[PATH_BYTES], **names;
    snprintf(folder, sizeof folder, "%s", path);
    char *slash = strrchr(folder, '/');
    const char *name = path + (slash ? slash + 1 - folder : 0);
    if (slash) slash[slash == folder] = 0;
    int count;
    TRY(directory_list(slash ? folder : ".", &names, &count));
    for (int i = 0; i < count; i++) {
        char found[PATH_BYTES];
        if (!is_temporary(names[i], name)) continue;
        int bytes = snprintf(found, sizeof found, "%s/%s", slash ? folder : ".", names[i]);
        if (bytes > 0 && (size_t)bytes < sizeof found) remove_stale(found);
    }
    names_free(names, count);
    return STATUS_OK;
}

static enum status flush(struct cache_writer *writer)
{
    if (!writer->used) return STATUS_OK;
    XXH3_64bits_update(writer->state, writer->buffer, writer->used);
    TRY(file_write_all(writer->file, writer->buffer, writer->used, writer->temporary));
    writer->used = 0;
    return STATUS_OK;
}

static enum status start(struct cache_writer *writer)
{
    static _Atomic unsigned number;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    // The time's nanoseconds tell processes of one number on two machines apart.
    int length =
        snprintf(writer->temporary, sizeof writer->temporary, "%s%s%ld-%u-%09ld", writer->path,
                 temporary_mark, (long)getpid(), atomic_fetch_add(&number, 1), (long)now.tv_nsec);
    if (length < 0 || (size_t)length >= sizeof writer->temporary)
        FAIL(STATUS_USAGE, "the path of the token cache is too long: %s", writer->path);
    writer->state = XXH3_createState();
    if (!writer->state) FAIL(STATUS_MEMORY, "not enough memory for a hash");
    XXH3_64bits_reset(writer->state);
    TRY(remove_all_stale(writer->path));
    TRY(file_create(writer->temporary, &writer->file));
    // On failure, which some file systems give always, another process may take this file for a stale one after a minute without a write.
    (void)flock(writer->file, LOCK_EX | LOCK_NB);
    struct cache_header blank = {0};
    TRY(file_write_all(writer->file, &blank, sizeof blank, writer->temporary));
    return STATUS_OK;
}

enum status cache_create(const char *path, const struct cache_key *key,
                         struct cache_writer **writer_p)
{
    struct cache_writer *writer;
    TRY(memory_allocate(1, sizeof *writer, "a token cache", &writer));
    writer->key = *key;
    writer->file = -1;
    snprintf(writer->path, sizeof writer->path, "%s", path);
    enum status status = start(writer);
    if (status) goto abandon_writer;
    *writer_p = writer;
    return STATUS_OK;
abandon_writer:
    cache_abandon(writer);
    return status;
}

static void free_writer(struct cache_writer *writer)
{
    if (writer->state) XXH3_freeState(writer->state);
    free(writer);
}

void cache_abandon(struct cache_writer *writer)
{
    if (!writer) return;
    if (writer->file >= 0) {
        close(writer->file);
        unlink(writer->temporary);
    }
    free_writer(writer);
}

enum status cache_add(struct cache_writer *writer, const int32_t *ids, size_t count)
{
    size_t width = id_width(&writer->key);
    uint32_t largest = largest32((const uint32_t *)ids, count);
    INVARIANT(count == 0 || largest < writer->key.vocabulary, "id %u of %u", (unsigned)largest,
              (unsigned)writer->key.vocabulary);
    for (size_t done = 0; done < count;) {
        size_t room = (BUFFER_BYTES - writer->used) / width,
               part = count - done < room ? count - done : room;
        uint16_t *ids16 = (uint16_t *)(void *)(writer->buffer + writer->used);
        if (width == 4)
            memcpy(ids16, ids + done, part * width);
        else
            for (size_t i = 0; i < part; i++) ids16[i] = (uint16_t)ids[done + i];
        writer->used += part * width;
        done += part;
        if (BUFFER_BYTES - writer->used < width) TRY(flush(writer));
    }
    writer->count += count;
    return STATUS_OK;
}

// Writes the header over the blank one, synchronizes, maps, and gives the file its name (or none).
static enum status seal(struct cache_writer *writer, bool keep, struct corpus **corpus_p)
{
    TRY(flush(writer));
    struct cache_header header =
        make_header(&writer->key, writer->count, XXH3_64bits_digest(writer->state));
    if (lseek(writer->file, 0, SEEK_SET) != 0)
        FAIL(STATUS_DISK, "cannot write %s: %s", writer->temporary, strerror(errno));
    TRY(file_write_all(writer->file, &header, sizeof header, writer->temporary));
    void *map;
    size_t bytes;
    TRY(file_map(writer->temporary, &map, &bytes));
    enum status status = make_corpus(map, bytes, &header, corpus_p);
    if (status) goto unmap;
    if (!keep) return STATUS_OK;
    // A second descriptor keeps the lock until the file has its name.
    int file = writer->file, held = dup(file);
    writer->file = -1;
    status = file_finish(file, writer->temporary);
    if (!status) status = file_rename(writer->temporary, writer->path);
    file_close(held);
    if (status) goto unlink_temporary;
    return STATUS_OK;
unlink_temporary:
    unlink(writer->temporary);
    free(*corpus_p);
    *corpus_p = NULL;
unmap:
    file_unmap(map, bytes);
    return status;
}

enum status cache_finish(struct cache_writer *writer, bool keep, struct corpus **corpus_p)
{
    struct corpus *corpus = NULL;
    enum status status = seal(writer, keep, &corpus);
    if (!status) *corpus_p = corpus;
    if (status || !keep)
        cache_abandon(writer);
    else
        free_writer(writer);
    return status;
}
