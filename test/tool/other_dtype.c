// SPDX-License-Identifier: Apache-2.0
// other_dtype CHECKPOINT: its weights become F64 of half as many elements, and its manifest says so: whole files, but no checkpoint of ours.
#include "base/file.h"
#include "store/manifest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void stop(const char *what)
{
    fprintf(stderr, "other_dtype: %s\n", what);
    exit(1);
}

// One dimension for all, with spaces behind it: no byte of the header moves.
static void change_shape(char *shape)
{
    long long elements = 1;
    char *at = shape;
    for (; *at != ']'; at += *at == ',') elements *= strtoll(at, &at, 10);
    int room = (int)(at - shape), used = snprintf(shape, (size_t)room + 1, "%lld", elements / 2);
    memset(shape + used, ' ', (size_t)(room - used));
    *at = ']';
}

static void change_header(char *header)
{
    for (char *at = header; (at = strstr(at, "\"F32\"")); at++) memcpy(at, "\"F64\"", 5);
    for (char *at = header; (at = strstr(at, "\"shape\":")); at++) {
        char *shape = strchr(at, '[');
        change_shape(shape + 1);
    }
}

int main(int count, char **argument)
{
    static char bytes[1 << 22], name[] = "weights.safetensors", path[4096], hex[HASH_TEXT];
    static struct manifest manifest;
    struct hash hash;
    uint64_t header;
    if (count != 2 || path_join(path, sizeof path, argument[1], name)) stop("one folder");
    FILE *file = fopen(path, "r+b");
    size_t size = file ? fread(bytes, 1, sizeof bytes, file) : 0;
    if (size < 16 || size == sizeof bytes) stop(path);
    memcpy(&header, bytes, sizeof header);
    if (header > size - 9) stop("no safetensors");
    char after = bytes[8 + header];
    bytes[8 + header] = 0;
    change_header(bytes + 8);
    bytes[8 + header] = after;
    rewind(file);
    if (fwrite(bytes, 1, size, file) != size || fclose(file)) stop("cannot write");
    hash_start(&hash);
    hash_add(&hash, bytes, size);
    hash_finish(&hash, hex);
    if (manifest_read(argument[1], &manifest)) stop(error_message());
    json_t *list = json_object_get(manifest.root, "files"), *entry;
    size_t i;
    json_array_foreach(list, i, entry)
    {
        const char *at = json_string_value(json_object_get(entry, "name"));
        if (strcmp(at, name) == 0) json_object_set_new(entry, "xxh3_128", json_string(hex));
    }
    if (manifest_write(&manifest, argument[1])) stop(error_message());
    manifest_release(&manifest);
    return 0;
}
