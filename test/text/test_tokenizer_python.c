// SPDX-License-Identifier: Apache-2.0
// Our tokenizer.json in Hugging Face's own hands: tokenizers and transformers give our ids, and the text back.
// Needs Python (STENTOR_PYTHON, else python3) with these two packages; skips by name without them.
#include "scratch.h"
#include "text/tokenizer.h"

#include <stdlib.h>
#include <string.h>

// cmocka.h wants the others before it.
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
// clang-format on

static const char compare[] =
    "import sys, struct\n"
    "from tokenizers import Tokenizer\n"
    "from transformers import AutoTokenizer, PreTrainedTokenizerFast\n"
    "def compare(folder):\n"
    "    raw = open(folder + '/text', 'rb').read()\n"
    "    ids = open(folder + '/ids', 'rb').read()\n"
    "    ids = list(struct.unpack('<%di' % (len(ids) // 4), ids))\n"
    "    replaced = raw.decode('utf-8', errors='replace')\n"
    "    valid = replaced.encode() == raw\n"
    "    def check(name, encode, decode):\n"
    "        if valid:\n"
    "            got = encode(replaced)\n"
    "            if got != ids:\n"
    "                at = next((i for i, (a, b) in enumerate(zip(got, ids)) if a != b), "
    "min(len(got), len(ids)))\n"
    "                raise Exception('%s: %d ids, ours %d; first difference at %d' % (name, "
    "len(got), len(ids), at))\n"
    "            if decode(ids) != replaced: raise Exception(name + ' decodes to another text')\n"
    "        else:\n"
    "            got = decode(ids)\n"
    "            if got.replace('\\ufffd', '') != replaced.replace('\\ufffd', ''): raise "
    "Exception('%s: %r' % (name, got[:80]))\n"
    "    plain = Tokenizer.from_file(folder + '/tokenizer.json')\n"
    "    check('tokenizers', lambda s: plain.encode(s).ids, plain.decode)\n"
    "    for loader in (AutoTokenizer, PreTrainedTokenizerFast):\n"
    "        t = loader.from_pretrained(folder)\n"
    "        if len(t) != plain.get_vocab_size(): raise Exception('%s has %d entries' % "
    "(loader.__name__, len(t)))\n"
    "        check(loader.__name__, lambda s: t(s)['input_ids'], t.decode)\n"
    "    t.save_pretrained(folder + '/again')\n"
    "for folder in sys.argv[2:]:\n"
    "    try:\n"
    "        compare(sys.argv[1] + '/' + folder)\n"
    "        print(folder + ': agrees')\n"
    "    except Exception as error: print(folder + ': ' + str(error))\n";

static char python[1024];

static bool python_has_packages(void)
{
    const char *wanted = getenv("STENTOR_PYTHON");
    snprintf(python, sizeof python, "%s", wanted && wanted[0] ? wanted : "python3");
    char command[2048];
    snprintf(command, sizeof command, "'%s' -c 'import tokenizers, transformers' >/dev/null 2>&1",
             python);
    return system(command) == 0;
}

// ---- the cases, each a folder: written first, compared by one run of Python, for that takes seconds to start ----
static void prepare(const char *name, struct tokenizer *tokenizer, const void *text, size_t bytes)
{
    int32_t *ids = malloc((bytes + 1) * sizeof *ids);
    size_t count;
    char file[128];
    assert_int_equal(tokenizer_encode(tokenizer, text, bytes, "text", 0, ids, &count), STATUS_OK);
    assert_int_equal(tokenizer_save(tokenizer, scratch_path(name)), STATUS_OK);
    snprintf(file, sizeof file, "%s/text", name);
    put_file(scratch_path(file), text, bytes);
    snprintf(file, sizeof file, "%s/ids", name);
    put_file(scratch_path(file), ids, count * sizeof *ids);
    free(ids);
    tokenizer_destroy(tokenizer);
}

static struct tokenizer *char_tokenizer(const void *text, size_t bytes)
{
    struct char_set *set;
    struct tokenizer *tokenizer = NULL;
    assert_int_equal(char_set_create(&set), STATUS_OK);
    char_set_add(set, text, bytes);
    assert_int_equal(tokenizer_char_create(set, &tokenizer), STATUS_OK);
    char_set_destroy(set);
    return tokenizer;
}

static struct tokenizer *byte_tokenizer(void)
{
    struct tokenizer *tokenizer = NULL;
    assert_int_equal(tokenizer_byte_create(&tokenizer), STATUS_OK);
    return tokenizer;
}

static const char sample[] =
    "First line,  two blanks .\r\n\r\n\tTab, don't ' do n't . "
    "\xE4\xBD\xA0\xE5\xA5\xBD\xEF\xBC\x8C\xE4\xB8\x96\xE7\x95\x8C\xE3\x80\x82\n"
    "\xF0\x9F\x98\x80\xF0\x9F\x91\xA9\xE2\x80\x8D\xF0\x9F\x91\xA6 e\xCC\x81 \xC3\xA9 <0xFF> <unk> "
    "<s> [CLS] \xC2\xA0\xC2\x85\xE2\x80\xA8"
    "\xEF\xBB\xBF \xEF\xBF\xBF\x7F\x01\x1F \\ \" / end";
static const char stray[] = "a\xFF"
                            "b\xC0\xAF\xED\xA0\x80 \xE4\xBD\nend\x80";
static const char zeros[] = "zero\0\0byte";

static int prepare_and_compare(void **state)
{
    (void)state;
    prepare("chars", char_tokenizer(sample, sizeof sample - 1), sample, sizeof sample - 1);
    prepare("newline", char_tokenizer("\n", 1), "\n", 1);
    prepare("stray", char_tokenizer(stray, sizeof stray - 1), stray, sizeof stray - 1);
    prepare("bytes", byte_tokenizer(), sample, sizeof sample - 1);
    prepare("any_bytes", byte_tokenizer(), stray, sizeof stray - 1);
    prepare("zeros", byte_tokenizer(), zeros, sizeof zeros - 1);
    // Every code point once would be slow in Python; each below U+0400 and every seventh of the planes in use shows enough.
    size_t bytes = 0;
    uint8_t *text = malloc(0x32000);
    for (uint32_t code = 1; code < 0x32000; code += code < 0x400 ? 1 : 7)
        if (code < 0xD800 || code >= 0xE000) bytes += (size_t)utf8_write(code, text + bytes);
    prepare("planes", char_tokenizer(text, bytes), text, bytes);
    free(text);
    put_file(scratch_path("compare.py"), compare, sizeof compare - 1);
    char command[4096];
    snprintf(command, sizeof command,
             "'%s' '%s' '%s' chars newline stray bytes any_bytes zeros planes >'%s' 2>'%s'", python,
             scratch_path("compare.py"), scratch(), scratch_path("log"), scratch_path("noise"));
    if (system(command)) fprintf(stderr, "# Python failed\n");
    return 0;
}

// Python agreed on this folder, and what transformers has saved again is still a tokenizer of ours.
static void check(const char *name)
{
    char *log, words[128], again[128];
    size_t bytes;
    struct tokenizer *one, *two;
    assert_int_equal(file_read(scratch_path("log"), 1 << 20, &log, &bytes), STATUS_OK);
    snprintf(words, sizeof words, "%s: agrees\n", name);
    if (!strstr(log, words)) fail_msg("%s", log);
    free(log);
    snprintf(again, sizeof again, "%s/again", name);
    assert_int_equal(tokenizer_load(scratch_path(name), &one), STATUS_OK);
    assert_int_equal(tokenizer_load(scratch_path(again), &two), STATUS_OK);
    assert_true(tokenizer_hash(one) == tokenizer_hash(two));
    tokenizer_destroy(one);
    tokenizer_destroy(two);
}

static void chars_have_the_same_ids(void **state)
{
    (void)state;
    check("chars");
    check("newline");
}

static void many_code_points_have_the_same_ids(void **state)
{
    (void)state;
    check("planes");
}

static void stray_bytes_decode_as_in_python(void **state)
{
    (void)state;
    check("stray");
}

static void bytes_have_the_same_ids(void **state)
{
    (void)state;
    check("bytes");
    check("any_bytes");
    check("zeros");
}

static int remove_scratch(void **state)
{
    (void)state;
    return scratch_remove();
}

int main(void)
{
    if (!python_has_packages()) {
        printf("1..1\nok 1 - transformers_agrees # SKIP %s with tokenizers and transformers not "
               "found (STENTOR_PYTHON "
               "names another)\n",
               python);
        return 0;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chars_have_the_same_ids),
        cmocka_unit_test(many_code_points_have_the_same_ids),
        cmocka_unit_test(stray_bytes_decode_as_in_python),
        cmocka_unit_test(bytes_have_the_same_ids),
    };
    return cmocka_run_group_tests(tests, prepare_and_compare, remove_scratch);
}
