// SPDX-License-Identifier: Apache-2.0
// Byte-level BPE: merges learned and applied as by hand, any bytes back again, cuts that change no id, files read and refused.
#include "base/json.h"
#include "base/philox.h"
#include "scratch.h"
#include "text/offsets.h"
#include "text/train_tokenizer.h"

#include <stdlib.h>
#include <string.h>

// cmocka.h wants the others before it.
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
// clang-format on

static int remove_scratch(void **state)
{
    (void)state;
    return scratch_remove();
}

static uint32_t draw(uint64_t *place, uint32_t below)
{
    return philox_bits((struct philox_address){.seed = 3}, (*place)++) % below;
}

static struct tokenizer *train(struct tokenizer_training training, const char *const *texts,
                               int count)
{
    struct tokenizer *blank, *tokenizer;
    struct piece_table counts = {0};
    assert_int_equal(tokenizer_train_start(&training, &blank), STATUS_OK);
    for (int i = 0; i < count; i++)
        assert_int_equal(
            tokenizer_count(blank, (const uint8_t *)texts[i], strlen(texts[i]), &counts),
            STATUS_OK);
    assert_int_equal(tokenizer_train(&training, &counts, &tokenizer), STATUS_OK);
    piece_table_release(&counts);
    tokenizer_destroy(blank);
    return tokenizer;
}

enum { MOST = 8192 };
static size_t encode(const struct tokenizer *tokenizer, const void *text, size_t bytes,
                     int32_t ids[MOST])
{
    size_t count = 0;
    assert_true(tokenizer_room(tokenizer, bytes) <= MOST);
    assert_int_equal(tokenizer_encode(tokenizer, text, bytes, "a text", 0, ids, &count), STATUS_OK);
    assert_true(count <= tokenizer_room(tokenizer, bytes));
    return count;
}

static size_t decode(const struct tokenizer *tokenizer, const int32_t *ids, size_t count,
                     char *text)
{
    size_t used = 0, bytes;
    for (size_t i = 0; i < count; i++) {
        const uint8_t *piece = tokenizer_piece(tokenizer, ids[i], &bytes);
        assert_non_null(piece);
        memcpy(text + used, piece, bytes);
        used += bytes;
    }
    return used;
}

// The pieces of a text between bars, spaces as underscores.
static const char *show(const struct tokenizer *tokenizer, const char *text)
{
    static char shown[1024];
    int32_t ids[MOST];
    size_t count = encode(tokenizer, text, strlen(text), ids), used = 0;
    for (size_t i = 0; i < count; i++) {
        used += decode(tokenizer, ids + i, 1, shown + used);
        shown[used++] = '|';
    }
    shown[used ? used - 1 : 0] = 0;
    for (size_t i = 0; i < used; i++)
        if (shown[i] == ' ') shown[i] = '_';
    return shown;
}

// ---- learning ----
static void the_most_frequent_pair_is_merged_first(void **state)
{
    (void)state;
    // Counts: low 5, lower 2, newest 6, widest 3 (Sennrich's example): es 9, est 9, lo 7, low 7; then, of
    // those with 6, ew before ne and west, since its ids are smaller.
    static const char *const texts[] = {
        "low\nlow\nlow\nlow\nlow\nlower\nlower\n",
        "newest\nnewest\nnewest\nnewest\nnewest\nnewest\nwidest\nwidest\nwidest\n"};
    static const char *const pieces[] = {"es", "est", "lo", "low", "ew", "new", "newest"};
    struct tokenizer_training training = {.vocabulary = 256 + 7};
    struct tokenizer *tokenizer = train(training, texts, 2);
    assert_int_equal(tokenizer_size(tokenizer), 263);
    for (int i = 0; i < 7; i++) {
        size_t bytes;
        const uint8_t *piece = tokenizer_piece(tokenizer, 256 + i, &bytes);
        assert_int_equal(bytes, strlen(pieces[i]));
        assert_memory_equal(piece, pieces[i], bytes);
    }
    assert_string_equal(show(tokenizer, "newest lowest newer"), "newest|_|low|est|_|new|e|r");
    tokenizer_destroy(tokenizer);
}

static void counts_merge_to_the_same_tokenizer(void **state)
{
    (void)state;
    static const char *const texts[] = {"the cat and the hat\n", "the bat, that sat\n",
                                        "春江潮水连海平，海上明月共潮生\n",
                                        "a hat that the cat had\n"};
    struct tokenizer_training training = {
        .vocabulary = 300, .special = {"<|end|>"}, .special_count = 1};
    struct tokenizer *whole = train(training, texts, 4), *blank, *merged;
    struct piece_table counts[4] = {{.count = 0}};
    assert_int_equal(tokenizer_train_start(&training, &blank), STATUS_OK);
    for (int i = 0; i < 4; i++)
        assert_int_equal(
            tokenizer_count(blank, (const uint8_t *)texts[i], strlen(texts[i]), &counts[i]),
            STATUS_OK);
    for (int i = 2; i >= 0; i--)
        assert_int_equal(piece_table_merge(&counts[3], &counts[i]), STATUS_OK);
    assert_int_equal(tokenizer_train(&training, &counts[3], &merged), STATUS_OK);
    assert_true(tokenizer_hash(whole) == tokenizer_hash(merged));
    assert_true(tokenizer_hash(whole) != tokenizer_hash(blank));
    for (int i = 0; i < 4; i++) piece_table_release(&counts[i]);
    tokenizer_destroy(whole);
    tokenizer_destroy(merged);
    tokenizer_destroy(blank);
}

static bool third_question(const void *context)
{
    int *asked = *(int *const *)context;
    return ++*asked == 3;
}

static void merges_are_given_up(void **state)
{
    (void)state;
    int asked = 0, *place = &asked;
    const struct stop stop = {third_question, &place};
    struct tokenizer_training training = {.vocabulary = 256 + 7, .stop = &stop};
    struct tokenizer *blank, *tokenizer = NULL;
    struct piece_table counts = {0};
    static const char text[] = "low low lower newest newest widest";
    assert_int_equal(tokenizer_train_start(&training, &blank), STATUS_OK);
    assert_int_equal(tokenizer_count(blank, (const uint8_t *)text, sizeof text - 1, &counts),
                     STATUS_OK);
    assert_int_equal(tokenizer_train(&training, &counts, &tokenizer), STATUS_INTERRUPTED);
    assert_string_equal(error_message(), "stopped while the tokenizer was made");
    error_clear();
    assert_null(tokenizer);
    assert_int_equal(asked, 3);
    piece_table_release(&counts);
    tokenizer_destroy(blank);
}

static void options_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    static const struct {
        struct tokenizer_training training;
        const char *says;
    } cases[] = {
        {{.vocabulary = 255}, "BPE needs at least 256"},
        {{.vocabulary = 256, .special = {"<s>"}, .special_count = 1}, "at least 257"},
        {{.vocabulary = 300, .pattern = SPLIT_WORDS}, "the pattern words is not for BPE"},
        {{.vocabulary = 300, .lower_case = true}, "small letters are for words"},
        {{.vocabulary = 300, .special = {"x"}, .special_count = 1}, "too short"},
        {{.vocabulary = 300, .special = {"<s>", "<s>"}, .special_count = 2}, "given twice"},
        {{.vocabulary = 300, .special = {"<s>", "\xC2\xB6"}, .special_count = 2},
         "the special token \xC2\xB6 is how tokenizer.json names other bytes of the vocabulary"},
        {{.vocabulary = (1 << 22) + 1},
         "a vocabulary of 4194305 is too large; BPE has at most 4194304"},
        {{.words = true, .pattern = SPLIT_GPT2}, "the pattern gpt2 is not for words"},
        {{.words = true, .pattern = SPLIT_WORDS, .vocabulary = 1},
         "a vocabulary of 1 is too small; words need at least 2"},
    };
    struct tokenizer *blank = NULL;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(tokenizer_train_start(&cases[i].training, &blank), STATUS_USAGE);
        assert_true(error_says(cases[i].says));
    }
    assert_null(blank);
}

// tokenizer.json names the piece " cat" as "Ġcat": a special token of that name would take its place.
static void specials_that_name_other_pieces_are_refused(void **state)
{
    (void)state;
    struct tokenizer_training training = {.vocabulary = 300,
                                          .special = {"\xC4\xA0"
                                                      "cat"},
                                          .special_count = 1};
    struct tokenizer *blank, *tokenizer = NULL;
    struct piece_table counts = {0};
    for (int learned = 1; learned >= 0; learned--) {
        const char *text = learned ? "a cat cat" : "a hat hat";
        assert_int_equal(tokenizer_train_start(&training, &blank), STATUS_OK);
        assert_int_equal(tokenizer_count(blank, (const uint8_t *)text, 9, &counts), STATUS_OK);
        enum status status = tokenizer_train(&training, &counts, &tokenizer);
        assert_int_equal(status, learned ? STATUS_USAGE : STATUS_OK);
        if (learned) assert_true(error_says("tokenizer.json names other bytes of the vocabulary"));
        piece_table_release(&counts);
        counts = (struct piece_table){0};
        tokenizer_destroy(blank);
    }
    assert_int_equal(tokenizer_save(tokenizer, scratch_path("special")), STATUS_OK);
    tokenizer_destroy(tokenizer);
    assert_int_equal(tokenizer_load(scratch_path("special"), &tokenizer), STATUS_OK);
    tokenizer_destroy(tokenizer);
}

// ---- encoding ----
static struct tokenizer *letters_tokenizer(enum split_pattern pattern)
{
    static const char *const texts[] = {
        "abababab aabb abba babab ab ba ca cab  bac\n12 123 1234 12 12\n\n  a   b\r\n\r\n!!! ... "
        "a!",
        "it's don't we'll 'tis 中文 中文 中国 文中 éé é. 。\n。 a\u0301 ab\u0301"};
    return train((struct tokenizer_training){.pattern = pattern, .vocabulary = 330}, texts, 2);
}

// By its definition: again and again the pair whose piece has the smallest id, which is the order of merging here.
static size_t merge_plainly(const struct tokenizer *tokenizer, int32_t *ids, size_t count)
{
    for (;;) {
        size_t best = 0;
        int32_t best_id = INT32_MAX;
        for (size_t i = 0; i + 1 < count; i++) {
            char joined[MOST];
            int32_t pair[2] = {ids[i], ids[i + 1]};
            size_t bytes = decode(tokenizer, pair, 2, joined), other;
            for (int32_t id = 256; id < tokenizer_size(tokenizer) && id < best_id; id++) {
                const uint8_t *piece = tokenizer_piece(tokenizer, id, &other);
                if (other != bytes || memcmp(piece, joined, bytes) != 0) continue;
                best_id = id;
                best = i;
            }
        }
        if (best_id == INT32_MAX) return count;
        ids[best] = best_id;
        memmove(ids + best + 1, ids + best + 2, (count - best - 2) * sizeof *ids);
        count--;
    }
}

static void long_pieces_merge_as_short_ones(void **state)
{
    (void)state;
    // Only ab, abab, abababab: so that a piece has one way to come about.
    static const char *const texts[] = {"abababab abababab"};
    struct tokenizer *tokenizer = train((struct tokenizer_training){.vocabulary = 259}, texts, 1);
    uint64_t place = 0;
    for (size_t length = 1; length < 160; length++) {
        char text[160], back[MOST];
        int32_t ids[MOST], plain[MOST];
        for (size_t i = 0; i < length; i++) text[i] = draw(&place, 8) ? "ab"[i % 2] : 'b';
        size_t count = encode(tokenizer, text, length, ids), expected = 0;
        for (size_t i = 0; i < length; i++) expected += encode(tokenizer, text + i, 1, plain + i);
        expected = merge_plainly(tokenizer, plain, expected);
        assert_int_equal(count, expected);
        assert_memory_equal(ids, plain, count * sizeof *ids);
        assert_int_equal(decode(tokenizer, ids, count, back), length);
        assert_memory_equal(back, text, length);
    }
    tokenizer_destroy(tokenizer);
}

static const char *const parts[] = {
    "a",  "b",  "ab",  " ",  " ",    "  ", "\n",     "\r\n",   "\t",   "1",        "23",      "!",
    "..", "'s", "'LL", "中", "文。", "é",  "\u0301", "\u3000", "\xFF", "\xE4\xB8", "\xF0\x9F"};

static size_t random_text(uint64_t *place, char *text, size_t most)
{
    size_t bytes = 0, wanted = draw(place, (uint32_t)most - 8);
    while (bytes < wanted) {
        const char *part = parts[draw(place, sizeof parts / sizeof *parts)];
        memcpy(text + bytes, part, strlen(part));
        bytes += strlen(part);
    }
    return bytes;
}

static void any_bytes_come_back(void **state)
{
    (void)state;
    uint64_t place = 0;
    for (int pattern = 0; pattern <= SPLIT_QWEN2; pattern++) {
        struct tokenizer *tokenizer = letters_tokenizer((enum split_pattern)pattern);
        for (int round = 0; round < 300; round++) {
            char text[512], back[MOST];
            int32_t ids[MOST];
            size_t bytes = random_text(&place, text, sizeof text);
            size_t count = encode(tokenizer, text, bytes, ids);
            assert_int_equal(decode(tokenizer, ids, count, back), bytes);
            assert_memory_equal(back, text, bytes);
        }
        tokenizer_destroy(tokenizer);
    }
}

static void a_cut_changes_no_id(void **state)
{
    (void)state;
    uint64_t place = 0;
    int cuts = 0;
    for (int pattern = 0; pattern < SPLIT_PATTERNS; pattern++) {
        struct tokenizer *tokenizer =
            pattern <= SPLIT_QWEN2
                ? letters_tokenizer((enum split_pattern)pattern)
                : train((struct tokenizer_training){.words = true,
                                                    .pattern = (enum split_pattern)pattern},
                        parts, sizeof parts / sizeof *parts);
        for (int round = 0; round < 2000; round++) {
            char text[96];
            int32_t whole[MOST], ids[MOST];
            size_t bytes = random_text(&place, text, sizeof text);
            size_t seen = bytes ? 1 + draw(&place, (uint32_t)bytes) : 0;
            size_t cut = tokenizer_cut(tokenizer, (const uint8_t *)text, seen);
            assert_true(cut <= seen && (cut > 0 || seen == 0));
            // Where no place is safe, the whole is given (up to an open character): nothing is promised then.
            if (cut + 4 > seen) continue;
            size_t count = encode(tokenizer, text, bytes, whole);
            size_t first = encode(tokenizer, text, cut, ids);
            first += encode(tokenizer, text + cut, bytes - cut, ids + first);
            assert_int_equal(first, count);
            assert_memory_equal(ids, whole, count * sizeof *ids);
            cuts++;
        }
        tokenizer_destroy(tokenizer);
    }
    assert_true(cuts > 3000);
}

// By its definition: the longest token at each place from the left, and what stands between them by itself.
static size_t encode_between(const struct tokenizer *tokenizer, const char *const *special,
                             int count, const char *text, size_t bytes, int32_t *ids)
{
    size_t used = 0, start = 0;
    for (size_t i = 0; i < bytes;) {
        int best = -1;
        for (int k = 0; k < count; k++) {
            size_t n = strlen(special[k]);
            if (n <= bytes - i && memcmp(special[k], text + i, n) == 0 &&
                (best < 0 || n > strlen(special[best])))
                best = k;
        }
        if (best < 0) {
            i++;
            continue;
        }
        used += encode(tokenizer, text + start, i - start, ids + used);
        ids[used++] = best;
        start = i += strlen(special[best]);
    }
    return used + encode(tokenizer, text + start, bytes - start, ids + used);
}

static void added_tokens_are_long_and_whole(void **state)
{
    (void)state;
    static const char *const piece[] = {"<|",    "a", "b", "|>", "ab", " ", "<|fim_middle|>",
                                        "<|fim_"};
    static const char *const texts[] = {"ab ab a b aab <|fim"};
    const struct tokenizer_training training = {
        .pattern = SPLIT_GPT2,
        .vocabulary = 280,
        .special = {"<|", "<|a", "<|ab|>", "a<|", "<|ab|>a", "|>", "<|fim_middle|>"},
        .special_count = 7};
    struct tokenizer *tokenizer = train(training, texts, 1);
    uint64_t place = 0;
    int cuts = 0;
    for (int round = 0; round < 3000; round++) {
        char text[160];
        int32_t ids[MOST], right[MOST];
        size_t bytes = 0;
        for (uint32_t n = 1 + draw(&place, 10); n > 0; n--) {
            const char *part = piece[draw(&place, sizeof piece / sizeof *piece)];
            memcpy(text + bytes, part, strlen(part));
            bytes += strlen(part);
        }
        size_t count = encode(tokenizer, text, bytes, ids);
        assert_int_equal(encode_between(tokenizer, training.special, 7, text, bytes, right), count);
        assert_memory_equal(ids, right, count * sizeof *ids);
        for (size_t seen = 1; seen <= bytes; seen++) {
            size_t cut = tokenizer_cut(tokenizer, (const uint8_t *)text, seen);
            assert_true(cut > 0 && cut <= seen);
            if (cut == seen) continue; // no place is safe
            size_t first = encode(tokenizer, text, cut, right);
            first += encode(tokenizer, text + cut, bytes - cut, right + first);
            assert_int_equal(first, count);
            assert_memory_equal(ids, right, count * sizeof *ids);
            cuts++;
        }
    }
    assert_true(cuts > 20000);
    tokenizer_destroy(tokenizer);
}

// A piece may be as long as a window: each merge goes over it once.
static void a_long_piece_is_merged(void **state)
{
    (void)state;
    enum { LONG = 1 << 20 };
    char *text = malloc(LONG + 1);
    assert_non_null(text);
    for (int i = 0; i < LONG; i++) text[i] = "ab"[i % 2];
    text[LONG] = 0;
    const char *texts[] = {text};
    struct tokenizer *tokenizer =
        train((struct tokenizer_training){.pattern = SPLIT_GPT2, .vocabulary = 260}, texts, 1);
    static const char *const merged[] = {"ab", "abab", "abababab", "abababababababab"};
    for (int i = 0; i < 4; i++) {
        size_t bytes = 0;
        const uint8_t *piece = tokenizer_piece(tokenizer, 256 + i, &bytes);
        assert_int_equal(bytes, strlen(merged[i]));
        assert_memory_equal(piece, merged[i], bytes);
    }
    tokenizer_destroy(tokenizer);
    free(text);
}

static void patterns_cut_as_they_say(void **state)
{
    (void)state;
    static const struct {
        enum split_pattern pattern;
        const char *text, *shown;
    } cases[] = {
        {SPLIT_GPT2, "I'll go  to 12345!!", "I|'ll|_go|_|_to|_12345|!!"},
        {SPLIT_LLAMA3, "I'LL go  to 12345!!", "I|'LL|_go|_|_to|_|123|45|!!"},
        {SPLIT_QWEN2, "(go) 12\n\n x", "(go|)|_|1|2|\n\n|_x"},
        {SPLIT_GPT2, "(go) 12\n\n x", "(|go|)|_12|\n\n|_x"},
        {SPLIT_LLAMA3, "好。\n\n好", "好|。\n\n|好"},
        // U+180E is no space since Unicode 6.3, U+3000 is one.
        {SPLIT_GPT2, " \u180E!\u3000\u3000x", "_\u180E!|\u3000|\u3000|x"},
        {SPLIT_LLAMA3, " \u180E!\u3000\u3000x", "_\u180E!|\u3000|\u3000x"},
        {SPLIT_QWEN2, " \u180E!\u3000\u3000x", "_\u180E!|\u3000|\u3000x"},
        {SPLIT_SPACES, "a\u180Eb\u3000c", "a\u180Eb|c"},
        {SPLIT_WORDS, "a!\u180E?\u3000c", "a|!\u180E?|c"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct splitter *splitter;
        struct piece_table pieces = {0};
        struct tokenizer_training training = {.pattern = cases[i].pattern,
                                              .words = cases[i].pattern >= SPLIT_SPACES,
                                              .vocabulary = 256};
        struct tokenizer *blank;
        assert_int_equal(splitter_create(cases[i].pattern, &splitter), STATUS_OK);
        assert_int_equal(tokenizer_train_start(&training, &blank), STATUS_OK);
        assert_int_equal(
            tokenizer_count(blank, (const uint8_t *)cases[i].text, strlen(cases[i].text), &pieces),
            STATUS_OK);
        // Each piece must be among those shown, and as many.
        char wanted[128];
        snprintf(wanted, sizeof wanted, "%s", cases[i].shown);
        int64_t count = 0, total = 0;
        for (char *rest = wanted, *one; (one = strsep(&rest, "|"));) {
            for (char *c = one; *c; c++)
                if (*c == '_') *c = ' ';
            int32_t number = piece_table_find(&pieces, one, strlen(one));
            if (number < 0) print_error("no piece \"%s\" in case %zu\n", one, i);
            assert_true(number >= 0);
            count++;
        }
        for (int32_t p = 0; p < pieces.count; p++) total += pieces.value[p];
        assert_int_equal(total, count);
        piece_table_release(&pieces);
        splitter_destroy(splitter);
        tokenizer_destroy(blank);
    }
}

// ---- files ----
static struct tokenizer *load(const json_t *root, enum status expected)
{
    struct tokenizer *tokenizer = NULL;
    char *text = json_dumps(root, JSON_COMPACT);
    const char *path = put_file(scratch_path("t.json"), text, strlen(text));
    assert_int_equal(tokenizer_load(path, &tokenizer), expected);
    free(text);
    return tokenizer;
}

static json_t *saved(const struct tokenizer *tokenizer)
{
    json_t *root;
    assert_int_equal(tokenizer_save(tokenizer, scratch_path("saved")), STATUS_OK);
    assert_int_equal(json_read_file(scratch_path("saved/tokenizer.json"), 1 << 24, &root),
                     STATUS_OK);
    return root;
}

static void what_is_saved_is_loaded(void **state)
{
    (void)state;
    for (int pattern = 0; pattern < SPLIT_PATTERNS; pattern++) {
        bool words = pattern > SPLIT_QWEN2;
        struct tokenizer_training training = {.pattern = (enum split_pattern)pattern,
                                              .words = words,
                                              .vocabulary = words ? 0 : 300,
                                              .lower_case = pattern == SPLIT_WORDS,
                                              .special = {"<|end|>"},
                                              .special_count = words ? 0 : 1};
        static const char *const texts[] = {
            "It's a cat. It's a hat; 12 中文 \"x\"\n<|end|> cats\n"};
        struct tokenizer *made = train(training, texts, 1);
        json_t *root = saved(made);
        struct tokenizer *back = load(root, STATUS_OK);
        int32_t one[MOST], two[MOST];
        size_t count = encode(made, texts[0], strlen(texts[0]), one);
        assert_int_equal(encode(back, texts[0], strlen(texts[0]), two), count);
        assert_memory_equal(one, two, count * sizeof *one);
        assert_true(tokenizer_hash(made) == tokenizer_hash(back));
        assert_string_equal(tokenizer_kind(back), words ? "word" : "bpe");
        if (!words) {
            // The special token is found in the text, and has id 0.
            bool found = false;
            for (size_t i = 0; i < count; i++) found = found || one[i] == 0;
            assert_true(found);
        }
        json_decref(root);
        tokenizer_destroy(made);
        tokenizer_destroy(back);
    }
}

// Merges as pairs; ignore_merges; tokens behind the vocabulary; form C.
static void what_others_write_is_read(void **state)
{
    (void)state;
    static const char *const texts[] = {"abab abab cab"};
    struct tokenizer *made = train((struct tokenizer_training){.vocabulary = 260}, texts, 1), *back;
    json_t *root = saved(made), *model = json_object_get(root, "model"), *merge, *pairs;
    size_t i;
    pairs = json_array();
    json_array_foreach(json_object_get(model, "merges"), i, merge)
    {
        char text[64];
        snprintf(text, sizeof text, "%s", json_string_value(merge));
        char *space = strchr(text, ' ');
        *space = 0;
        json_array_append_new(pairs, json_pack("[s, s]", text, space + 1));
    }
    json_object_set_new(model, "merges", pairs);
    back = load(root, STATUS_OK);
    assert_true(tokenizer_hash(back) == tokenizer_hash(made));
    tokenizer_destroy(back);

    // An entry that no merge leads to: a piece is it only where merges are ignored.
    json_object_set_new(json_object_get(model, "vocab"), "ba", json_integer(260));
    back = load(root, STATUS_OK);
    assert_string_equal(show(back, "ba"), "b|a");
    tokenizer_destroy(back);
    json_object_set_new(model, "ignore_merges", json_true());
    json_object_set_new(root, "added_tokens",
                        json_pack("[{s:i, s:s, s:b}, {s:i, s:s, s:b}]", "id", 261, "content",
                                  "<e\u0301>", "special", 1, "id", 262, "content", "<e\u0301>>",
                                  "special", 0));
    json_object_set_new(root, "normalizer", json_pack("{s:s}", "type", "NFC"));
    back = load(root, STATUS_OK);
    assert_string_equal(show(back, "ba"), "ba");
    assert_true(tokenizer_keeps_bytes(made) && !tokenizer_keeps_bytes(back));
    assert_int_equal(tokenizer_size(back), 263);
    int32_t ids[MOST];
    assert_int_equal(encode(back, "<e\u0301>><e\u0301>", strlen("<e\u0301>><e\u0301>"), ids), 2);
    assert_int_equal(ids[0], 262);
    assert_int_equal(ids[1], 261);
    // e and an accent become é; U+0958 becomes two characters, six bytes from three.
    assert_int_equal(encode(back, "e\u0301", 3, ids), 2);
    assert_int_equal(encode(back, "\u0958", 3, ids), 6);
    json_decref(root);
    tokenizer_destroy(made);
    tokenizer_destroy(back);
}

// Takes the piece of a byte out of a vocabulary; the last id moves to its place.
static void take_out(json_t *root, const char *name)
{
    json_t *vocabulary = json_object_get(json_object_get(root, "model"), "vocab"), *id;
    json_int_t last = (json_int_t)json_object_size(vocabulary) - 1,
               place = json_integer_value(json_object_get(vocabulary, name));
    const char *other;
    assert_int_equal(json_object_del(vocabulary, name), 0);
    json_object_foreach(vocabulary, other, id) if (json_integer_value(id) == last)
        json_integer_set(id, place);
}

// The pieces of what a tokenizer has of a text, each with the bytes where it stands.
static const char *show_known(const struct tokenizer *tokenizer, const char *text, int64_t lacking)
{
    static char shown[1024];
    struct offset offsets[100];
    int32_t ids[100];
    size_t count, used = 0;
    int64_t unknown;
    const uint8_t *bytes = (const uint8_t *)text;
    assert_true(tokenizer_room(tokenizer, strlen(text)) <= 100);
    assert_int_equal(tokenizer_encode_known(tokenizer, bytes, strlen(text), ids, &count, &unknown),
                     STATUS_OK);
    assert_int_equal(unknown, lacking);
    shown[0] = 0;
    assert_int_equal(tokenizer_offsets(tokenizer, bytes, strlen(text), ids, count, offsets),
                     STATUS_OK);
    for (size_t i = 0; i < count; i++) {
        char piece[32];
        piece[decode(tokenizer, ids + i, 1, piece)] = 0;
        used += (size_t)snprintf(shown + used, sizeof shown - used, "%s%s %u-%u", i ? ", " : "",
                                 piece, offsets[i].from, offsets[i].to);
    }
    return shown;
}

// A character with a byte that the vocabulary lacks is left out; the others are merged as without it.
static void a_character_that_is_lacking_parts_the_text(void **state)
{
    (void)state;
    static const char *const texts[] = {"the cat the cat the cat 中 中 中"};
    struct tokenizer *made = train((struct tokenizer_training){.vocabulary = 266}, texts, 1), *less;
    json_t *root = saved(made);
    take_out(root, "\u00F0");
    take_out(root, "\u00C3"); // of é
    less = load(root, STATUS_OK);
    assert_string_equal(show_known(less, "the cat the cat", 0),
                        "the 0-3,  cat 3-7,  the 7-11,  cat 11-15");
    assert_string_equal(show_known(less, "the cat the cat 😀", 1),
                        "the 0-3,  cat 3-7,  the 7-11,  cat 11-15,   15-16");
    assert_string_equal(show_known(less, "é the cat😀😀 中é the", 4),
                        " the 2-6,  cat 6-10,  中 18-22,  the 24-28");
    assert_string_equal(show_known(less, "éé", 2), "");
    tokenizer_destroy(less);

    // In form C the accent becomes a part of its letter, which is lacking then.
    json_object_set_new(root, "normalizer", json_pack("{s:s}", "type", "NFC"));
    less = load(root, STATUS_OK);
    size_t count, bytes = strlen("the e\u0301 cat😀 cat");
    int64_t unknown;
    int32_t ids[100];
    assert_int_equal(tokenizer_encode_known(less, (const uint8_t *)"the e\u0301 cat😀 cat", bytes,
                                            ids, &count, &unknown),
                     STATUS_OK);
    assert_int_equal(unknown, 1);
    assert_int_equal(count, 11 + 1); // each alone before what is left out, one piece behind it
    tokenizer_destroy(less);
    tokenizer_destroy(made);
    json_decref(root);
}

static void strange_files_are_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *object, *key, *value; // object: "", "model" or "vocab"
        enum status status;
        const char *says;
    } cases[] = {
        {"", "normalizer", "{\"type\":\"NFKC\"}", STATUS_UNSUPPORTED,
         "normalizer is {\"type\":\"NFKC\"}"},
        {"", "pre_tokenizer", "{\"type\":\"Metaspace\",\"use_regex\":true}", STATUS_UNSUPPORTED,
         "pre_tokenizer is"},
        {"", "pre_tokenizer",
         "{\"type\":\"ByteLevel\",\"add_prefix_space\":true,\"use_regex\":true}",
         STATUS_UNSUPPORTED, "without prefix space"},
        {"", "pre_tokenizer",
         "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"Regex\":\"("
         "a+)+$\"},"
         "\"behavior\":\"Isolated\",\"invert\":false},{\"type\":\"ByteLevel\",\"add_prefix_space\":"
         "false,"
         "\"use_regex\":false}]}",
         STATUS_UNSUPPORTED, "the patterns of GPT-2, Llama 3 and Qwen 2"},
        {"", "decoder", "{\"type\":\"WordPiece\"}", STATUS_UNSUPPORTED, "decoder is"},
        {"", "padding", "{}", STATUS_UNSUPPORTED, "padding is {}"},
        {"", "added_tokens", "[{\"id\":3}]", STATUS_INPUT, "content"},
        {"", "added_tokens", "[{\"id\":-1,\"content\":\"<x>\"}]", STATUS_INPUT, "id"},
        {"", "added_tokens", "[{\"id\":999,\"content\":\"<x>\"}]", STATUS_UNSUPPORTED,
         "id 999 follows"},
        {"", "added_tokens", "[{\"id\":3,\"content\":\"\"}]", STATUS_INPUT, "empty text"},
        {"", "added_tokens", "[{\"id\":3,\"content\":\"<x>\",\"lstrip\":true}]", STATUS_UNSUPPORTED,
         "lstrip"},
        {"", "added_tokens", "[{\"id\":4,\"content\":\"<x>\"},{\"id\":4,\"content\":\"<y>\"}]",
         STATUS_INPUT, "ids must rise"},
        {"model", "dropout", "0.1", STATUS_UNSUPPORTED, "dropout is 0.1"},
        {"model", "end_of_word_suffix", "\"</w>\"", STATUS_UNSUPPORTED, "end_of_word_suffix is"},
        {"model", "vocab", "[]", STATUS_INPUT, "model.vocab is not an object"},
        {"model", "vocab", "{}", STATUS_INPUT, "model.vocab has 0 entries"},
        {"model", "merges", "{\"a\":1}", STATUS_INPUT, "model.merges is not a list"},
        {"model", "merges", "[\"ab\"]", STATUS_INPUT, "merge 0 is \"ab\""},
        {"model", "merges", "[\"a b c\"]", STATUS_INPUT, "merge 0 is"},
        {"model", "merges", "[[\"a\",\"b\",\"c\"]]", STATUS_INPUT, "merge 0 is"},
        {"model", "merges", "[[\"a\",7]]", STATUS_INPUT, "merge 0 is"},
        {"model", "merges", "[\"a \\u4e2d\"]", STATUS_INPUT,
         "\"\\u4E2D\" of merge 0 is not in the vocabulary"},
        {"model", "merges", "[\"x y\"]", STATUS_INPUT, "give together is not in the vocabulary"},
        {"vocab", "zz", "7", STATUS_INPUT, "another entry's too"},
        {"vocab", "zz", "-7", STATUS_INPUT, "the id of \"zz\" is -7"},
        {"vocab", "zz", "4294967296", STATUS_INPUT, "the id of \"zz\" is 4294967296"},
        {"vocab", "zz", "\"a\"", STATUS_INPUT, "the id of \"zz\" is \"a\""},
        {"vocab", "\u4e2d", "258", STATUS_INPUT, "\"\\u4E2D\" is no entry"},
    };
    static const char *const texts[] = {"abab"};
    struct tokenizer *made = train((struct tokenizer_training){.vocabulary = 258}, texts, 1);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *root = saved(made), *model = json_object_get(root, "model");
        json_t *object = !cases[i].object[0]         ? root
                         : cases[i].object[0] == 'm' ? model
                                                     : json_object_get(model, "vocab");
        json_object_set_new(object, cases[i].key,
                            json_loads(cases[i].value, JSON_DECODE_ANY, NULL));
        if (load(root, cases[i].status)) print_error("case %zu was read\n", i);
        assert_true(error_says(cases[i].says));
        json_decref(root);
    }
    tokenizer_destroy(made);
}

static void damaged_files_never_crash(void **state)
{
    (void)state;
    static const char *const texts[] = {"abab cab"};
    for (int words = 0; words < 2; words++) {
        struct tokenizer_training training = {.words = words,
                                              .vocabulary = words ? 0 : 259,
                                              .pattern = words ? SPLIT_WORDS : SPLIT_LLAMA3};
        struct tokenizer *made = train(training, texts, 1), *back;
        json_t *root = saved(made);
        char *text = json_dumps(root, JSON_COMPACT);
        size_t bytes = strlen(text);
        uint64_t place = 0;
        for (int round = 0; round < 3000; round++) {
            size_t at = draw(&place, (uint32_t)bytes);
            char was = text[at];
            text[at] = "{}[]\",:019ab\\ \xFF"[draw(&place, 15)];
            put_file(scratch_path("t.json"), text, round % 9 ? bytes : at);
            int32_t ids[MOST];
            if (tokenizer_load(scratch_path("t.json"), &back) == STATUS_OK) {
                size_t count;
                if (tokenizer_encode(back, (const uint8_t *)"ab \n12", 6, "", 0, ids, &count))
                    error_clear();
                tokenizer_destroy(back);
            }
            error_clear();
            text[at] = was;
        }
        free(text);
        json_decref(root);
        tokenizer_destroy(made);
    }
}

// ---- words ----
static void words_are_numbered_by_count(void **state)
{
    (void)state;
    static const char *const texts[] = {"the cat and the dog\nThe <unk> Dog\n", "a dog \xFF\n"};
    struct tokenizer_training training = {.words = true, .pattern = SPLIT_SPACES};
    struct tokenizer *tokenizer = train(training, texts, 2);
    // <unk>, newline; then dog 2, the 2, Dog, The, a, and, cat; the byte that is no text is left out.
    assert_int_equal(tokenizer_size(tokenizer), 9);
    int32_t ids[MOST];
    char back[MOST];
    size_t count = encode(tokenizer, "the  bird and\tdog\n\n", 19, ids);
    static const int32_t expected[] = {3, 0, 7, 2, 1, 1};
    assert_int_equal(count, 6);
    assert_memory_equal(ids, expected, sizeof expected);
    back[decode(tokenizer, ids, count, back)] = 0;
    assert_string_equal(back, "the <unk> and dog \n\n");
    tokenizer_destroy(tokenizer);
    training = (struct tokenizer_training){
        .words = true, .pattern = SPLIT_WORDS, .lower_case = true, .least_count = 2};
    tokenizer = train(training, texts, 2);
    assert_string_equal(show(tokenizer, "THE Dog's dogs"), "the_|dog_|<unk>_|<unk>_|<unk>_");
    assert_int_equal(tokenizer_size(tokenizer), 4);
    tokenizer_destroy(tokenizer);
    training.vocabulary = 3;
    tokenizer = train(training, texts, 2);
    assert_int_equal(tokenizer_size(tokenizer), 3);
    tokenizer_destroy(tokenizer);
    // Each character alone, as in Hugging Face's hands: the last sigma of a capital word is as the first.
    static const char *const greek[] = {"ΣΟΦΟΣ σοφός"};
    training =
        (struct tokenizer_training){.words = true, .pattern = SPLIT_WORDS, .lower_case = true};
    tokenizer = train(training, greek, 1);
    assert_string_equal(show(tokenizer, "ΣΟΦΟΣ σοφοσ σοφος σοφός"), "σοφοσ_|σοφοσ_|<unk>_|σοφός_");
    tokenizer_destroy(tokenizer);
    static const char *const chinese[] = {"春江花月夜，abc春"};
    tokenizer =
        train((struct tokenizer_training){.words = true, .pattern = SPLIT_WORDS}, chinese, 1);
    // No space where Chinese is written without: not behind its characters, nor behind marks of their width.
    assert_string_equal(show(tokenizer, "春夜,月"), "春|夜|<unk>_|月");
    assert_string_equal(show(tokenizer, "江，abc花"), "江|，|abc_|花");
    tokenizer_destroy(tokenizer);
    // Who wrote spaces gets them back; how words are shown is not what they mean.
    static const char *const spaced[] = {"春江 花月夜 ，"};
    training = (struct tokenizer_training){.words = true, .pattern = SPLIT_SPACES};
    tokenizer = train(training, spaced, 1);
    assert_string_equal(show(tokenizer, "春江 ， 花月夜"), "春江_|，_|花月夜_");
    tokenizer_destroy(tokenizer);
}

// Words of one mebibyte each, of one character; the first four tell them apart.
static enum status train_long_words(int words, char character, struct tokenizer **tokenizer_p)
{
    enum { LONG = 1 << 20 };
    struct tokenizer_training training = {.words = true, .pattern = SPLIT_SPACES};
    struct tokenizer *blank;
    struct piece_table counts = {0};
    char *word = malloc(LONG + 1);
    assert_non_null(word);
    memset(word, character, LONG);
    word[LONG] = ' ';
    assert_int_equal(tokenizer_train_start(&training, &blank), STATUS_OK);
    for (int i = 0; i < words; i++) {
        for (int digit = 0; digit < 4; digit++) word[digit] = (char)('a' + (i >> 3 * digit) % 8);
        assert_int_equal(tokenizer_count(blank, (const uint8_t *)word, LONG + 1, &counts),
                         STATUS_OK);
    }
    enum status status = tokenizer_train(&training, &counts, tokenizer_p);
    piece_table_release(&counts);
    tokenizer_destroy(blank);
    free(word);
    return status;
}

static void what_can_be_written_can_be_read(void **state)
{
    (void)state;
    struct tokenizer *made, *back;
    assert_int_equal(train_long_words(49, 'x', &made), STATUS_OK);
    assert_int_equal(tokenizer_save(made, scratch_path("large")), STATUS_OK);
    assert_int_equal(tokenizer_load(scratch_path("large"), &back), STATUS_OK);
    assert_true(tokenizer_hash(made) == tokenizer_hash(back));
    tokenizer_destroy(back);
    tokenizer_destroy(made);
    made = NULL;
    // Each byte of these takes six in the file.
    assert_int_equal(train_long_words(43, 1, &made), STATUS_INPUT);
    assert_true(error_says("45 words make a tokenizer.json of 27053"));
    assert_null(made);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_most_frequent_pair_is_merged_first),
        cmocka_unit_test(counts_merge_to_the_same_tokenizer),
        cmocka_unit_test(merges_are_given_up),
        cmocka_unit_test(options_that_do_not_fit_are_refused),
        cmocka_unit_test(specials_that_name_other_pieces_are_refused),
        cmocka_unit_test(long_pieces_merge_as_short_ones),
        cmocka_unit_test(any_bytes_come_back),
        cmocka_unit_test(a_cut_changes_no_id),
        cmocka_unit_test(added_tokens_are_long_and_whole),
        cmocka_unit_test(a_long_piece_is_merged),
        cmocka_unit_test(patterns_cut_as_they_say),
        cmocka_unit_test(what_is_saved_is_loaded),
        cmocka_unit_test(what_others_write_is_read),
        cmocka_unit_test(a_character_that_is_lacking_parts_the_text),
        cmocka_unit_test(strange_files_are_refused_by_name),
        cmocka_unit_test(damaged_files_never_crash),
        cmocka_unit_test(words_are_numbered_by_count),
        cmocka_unit_test(what_can_be_written_can_be_read),
    };
    return cmocka_run_group_tests(tests, NULL, remove_scratch);
}
