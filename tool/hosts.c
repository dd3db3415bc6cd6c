// SPDX-License-Identifier: Apache-2.0
#include "hosts.h"

#include "base/file.h"
#include "base/memory.h"
#include "base/number.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_BYTES = 1 << 24, MOST_SLOTS = 4096 };

static const char blanks[] = " \t\r";

static enum status read_slots(const char *path, int line, const char *text, int *slots_p)
{
    uint64_t slots;
    if (!number_parse_unsigned(text, &slots) || slots < 1 || slots > MOST_SLOTS)
        FAIL(STATUS_INPUT, "%s:%d: \"%.*s\" slots; it must be a whole number from 1 to %d", path,
             line, CUT(text, 40), MOST_SLOTS);
    *slots_p = (int)slots;
    return STATUS_OK;
}

// A name goes to ssh and mpirun as it is, so it holds nothing that could mean an option or a command to them.
static enum status check_name(const char *path, int line, const char *name)
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    size_t length = strlen(name), good = strspn(name, letters);
    if (length == 0 || good < length || name[0] == '-' || length >= sizeof((struct host *)0)->name)
        FAIL(STATUS_INPUT,
             "%s:%d: \"%.*s\" is no name of a host: letters, digits, points and dashes", path, line,
             CUT(name, 60));
    return STATUS_OK;
}

// `text` is one line without its end and comment; *host_p stays without a name when there is nothing in it.
static enum status read_line(const char *path, int line, char *text, struct host *host_p)
{
    struct host host = {.slots = 1, .line = line, .present = 1};
    char *rest = NULL;
    char *name = strtok_r(text, blanks, &rest);
    if (!name) return STATUS_OK;
    char *colon = strchr(name, ':');
    if (colon) {
        *colon = 0;
        TRY(read_slots(path, line, colon + 1, &host.slots));
    }
    TRY(check_name(path, line, name));
    memcpy(host.name, name, strlen(name) + 1);
    for (char *word; (word = strtok_r(NULL, blanks, &rest));) {
        if (strncmp(word, "slots=", 6) != 0 || colon)
            FAIL(STATUS_INPUT,
                 "%s:%d: \"%.*s\" behind %s; a line is a name, and slots=N if it is to "
                 "take more than one process",
                 path, line, CUT(word, 60), name);
        TRY(read_slots(path, line, word + 6, &host.slots));
    }
    *host_p = host;
    return STATUS_OK;
}

static enum status read_lines(const char *path, char *data, struct host **hosts_p, int *count_p)
{
    struct host *hosts = NULL;
    int count = 0, capacity = 0, line = 1;
    enum status status = STATUS_OK;
    for (char *text = data, *next; text && !status; text = next, line++) {
        struct host host = {.slots = 0};
        next = strchr(text, '\n');
        if (next) *next++ = 0;
        text[strcspn(text, "#")] = 0;
        status = read_line(path, line, text, &host);
        if (status || !host.slots) continue;
        if (count == capacity) {
            capacity = 2 * capacity + 16;
            status = memory_grow(&hosts, (size_t)capacity, sizeof *hosts, "hosts");
            if (status) continue;
        }
        hosts[count++] = host;
    }
    if (!status && !count)
        status = error_at(STATUS_INPUT, __FILE__, __LINE__,
                          "%s names no host; a line is a name, as in: node1 slots=2", path);
    if (status) {
        free(hosts);
        return status;
    }
    *hosts_p = hosts;
    *count_p = count;
    return STATUS_OK;
}

enum status hosts_read(const char *path, struct host **hosts_p, int *count_p)
{
    char *data;
    size_t bytes;
    TRY(file_read(path, MOST_BYTES, &data, &bytes));
    enum status status;
    if (memchr(data, 0, bytes))
        status =
            error_at(STATUS_INPUT, __FILE__, __LINE__, "%s is no text: it holds a zero byte", path);
    else
        status = read_lines(path, data, hosts_p, count_p);
    free(data);
    return status;
}
