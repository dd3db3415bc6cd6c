// SPDX-License-Identifier: Apache-2.0
#include "text/stemmer.h"

#include <stdbool.h>
#include <string.h>

// A part of a word: its first `bytes` bytes.
struct stem {
    char *at;
    size_t bytes;
};

static bool is_vowel(char letter) { return letter && strchr("aeiou", letter) != NULL; }

// y is a consonant at the start and behind a vowel. `before`: whether the letter before is one.
static bool consonant_after(char letter, bool first, bool before)
{
    return letter == 'y' ? first || !before : !is_vowel(letter);
}

static bool is_consonant(struct stem stem, size_t at)
{
    size_t start = at; // where the run of y begins: only those depend on what is before
    while (start > 0 && stem.at[start] == 'y') start--;
    bool consonant = consonant_after(stem.at[start], start == 0, false);
    for (size_t i = start + 1; i <= at; i++) consonant = !consonant;
    return consonant;
}

// How often a vowel is followed by a consonant: m in [C](VC){m}[V].
static size_t measure(struct stem stem)
{
    size_t count = 0;
    bool before = true;
    for (size_t i = 0; i < stem.bytes; i++) {
        bool consonant = consonant_after(stem.at[i], i == 0, before);
        count += consonant && !before;
        before = consonant;
    }
    return count;
}

static bool has_vowel(struct stem stem)
{
    bool before = true;
    for (size_t i = 0; i < stem.bytes; i++) {
        before = consonant_after(stem.at[i], i == 0, before);
        if (!before) return true;
    }
    return false;
}

static bool ends_double_consonant(struct stem stem)
{
    size_t n = stem.bytes;
    return n >= 2 && stem.at[n - 1] == stem.at[n - 2] && is_consonant(stem, n - 1);
}

// Consonant, vowel, consonant that is not w, x or y; or, of two letters, vowel and consonant.
static bool ends_cvc(struct stem stem)
{
    size_t n = stem.bytes;
    if (n == 2) return !is_consonant(stem, 0) && is_consonant(stem, 1);
    return n >= 3 && is_consonant(stem, n - 3) && !is_consonant(stem, n - 2) &&
           is_consonant(stem, n - 1) && !strchr("wxy", stem.at[n - 1]);
}

static bool ends_with(struct stem stem, const char *suffix)
{
    size_t length = strlen(suffix);
    return stem.bytes >= length && memcmp(stem.at + stem.bytes - length, suffix, length) == 0;
}

static struct stem without(struct stem stem, size_t bytes)
{
    return (struct stem){stem.at, stem.bytes - bytes};
}

static struct stem append(struct stem stem, const char *suffix)
{
    size_t length = strlen(suffix);
    memcpy(stem.at + stem.bytes, suffix, length);
    return (struct stem){stem.at, stem.bytes + length};
}

// ---- rules: the first whose suffix fits decides, whether its condition (m above `least` for the stem) holds or not ----
struct rule {
    const char *suffix, *replacement;
    size_t least; // the stem's measure must be at least this
};

static bool apply_rules(const struct rule *rules, struct stem *word)
{
    for (; rules->suffix; rules++) {
        if (!ends_with(*word, rules->suffix)) continue;
        struct stem stem = without(*word, strlen(rules->suffix));
        if (measure(stem) < rules->least) return false;
        *word = append(stem, rules->replacement);
        return true;
    }
    return false;
}

static struct stem step_1a(struct stem word)
{
    static const struct rule rules[] = {
        {"sses", "ss", 0}, {"ies", "i", 0}, {"ss", "ss", 0}, {"s", "", 0}, {NULL, NULL, 0}};
    if (word.bytes == 4 && ends_with(word, "ies")) return append(without(word, 3), "ie");
    apply_rules(rules, &word);
    return word;
}

static struct stem step_1b(struct stem word)
{
    static const struct rule rules[] = {
        {"at", "ate", 0}, {"bl", "ble", 0}, {"iz", "ize", 0}, {NULL, NULL, 0}};
    if (ends_with(word, "ied")) return append(without(word, 3), word.bytes == 4 ? "ie" : "i");
    if (ends_with(word, "eed"))
        return measure(without(word, 3)) > 0 ? append(without(word, 3), "ee") : word;
    struct stem stem;
    if (ends_with(word, "ed") && has_vowel(without(word, 2)))
        stem = without(word, 2);
    else if (ends_with(word, "ing") && has_vowel(without(word, 3)))
        stem = without(word, 3);
    else
        return word;
    if (apply_rules(rules, &stem)) return stem;
    if (ends_double_consonant(stem))
        return strchr("lsz", stem.at[stem.bytes - 1]) ? stem : without(stem, 1);
    return measure(stem) == 1 && ends_cvc(stem) ? append(stem, "e") : stem;
}

static struct stem step_1c(struct stem word)
{
    struct stem stem = without(word, 1);
    if (!ends_with(word, "y") || stem.bytes < 2 || !is_consonant(stem, stem.bytes - 1)) return word;
    return append(stem, "i");
}

static struct stem step_2(struct stem word)
{
    static const struct rule rules[] = {
        {"ational", "ate", 1}, {"tional", "tion", 1}, {"enci", "ence", 1},   {"anci", "ance", 1},
        {"izer", "ize", 1},    {"bli", "ble", 1},     {"alli", "al", 1},     {"entli", "ent", 1},
        {"eli", "e", 1},       {"ousli", "ous", 1},   {"ization", "ize", 1}, {"ation", "ate", 1},
        {"ator", "ate", 1},    {"alism", "al", 1},    {"iveness", "ive", 1}, {"fulness", "ful", 1},
        {"ousness", "ous", 1}, {"aliti", "al", 1},    {"iviti", "ive", 1},   {"biliti", "ble", 1},
        {"fulli", "ful", 1},   {NULL, NULL, 0}};
    // -alli first, and then once more: "-ationalli" becomes "-ate".
    while (ends_with(word, "alli") && measure(without(word, 4)) > 0) word = without(word, 2);
    // The l of -logi counts for the stem, so that "geo" and "theo" are long enough.
    if (ends_with(word, "logi")) return measure(without(word, 3)) > 0 ? without(word, 1) : word;
    apply_rules(rules, &word);
    return word;
}

static struct stem step_3(struct stem word)
{
    static const struct rule rules[] = {{"icate", "ic", 1}, {"ative", "", 1},  {"alize", "al", 1},
                                        {"iciti", "ic", 1}, {"ical", "ic", 1}, {"ful", "", 1},
                                        {"ness", "", 1},    {NULL, NULL, 0}};
    apply_rules(rules, &word);
    return word;
}

static struct stem step_4(struct stem word)
{
    static const struct rule rules[] = {
        {"al", "", 2},   {"ance", "", 2}, {"ence", "", 2}, {"er", "", 2},    {"ic", "", 2},
        {"able", "", 2}, {"ible", "", 2}, {"ant", "", 2},  {"ement", "", 2}, {"ment", "", 2},
        {"ent", "", 2},  {"ou", "", 2},   {"ism", "", 2},  {"ate", "", 2},   {"iti", "", 2},
        {"ous", "", 2},  {"ive", "", 2},  {"ize", "", 2},  {NULL, NULL, 0}};
    struct stem stem = without(word, 3);
    if (ends_with(word, "ion"))
        return measure(stem) > 1 && strchr("st", stem.at[stem.bytes - 1]) ? stem : word;
    apply_rules(rules, &word);
    return word;
}

static struct stem step_5(struct stem word)
{
    struct stem stem = without(word, 1);
    if (ends_with(word, "e") && (measure(stem) > 1 || (measure(stem) == 1 && !ends_cvc(stem))))
        word = stem;
    if (ends_with(word, "ll") && measure(without(word, 1)) > 1) word = without(word, 1);
    return word;
}

size_t porter_stem(char *word, size_t bytes)
{
    static const char *const irregular[][2] = {
        {"sky", "sky"},        {"skies", "sky"},        {"dying", "die"},
        {"lying", "lie"},      {"tying", "tie"},        {"news", "news"},
        {"innings", "inning"}, {"inning", "inning"},    {"outings", "outing"},
        {"outing", "outing"},  {"cannings", "canning"}, {"canning", "canning"},
        {"howe", "howe"},      {"proceed", "proceed"},  {"exceed", "exceed"},
        {"succeed", "succeed"}};
    for (size_t i = 0; i < sizeof irregular / sizeof *irregular; i++) {
        const char *form = irregular[i][0], *stem = irregular[i][1];
        if (strlen(form) != bytes || memcmp(form, word, bytes) != 0) continue;
        memcpy(word, stem, strlen(stem));
        return strlen(stem);
    }
    if (bytes <= 2) return bytes;
    struct stem stem = step_1c(step_1b(step_1a((struct stem){word, bytes})));
    return step_5(step_4(step_3(step_2(stem)))).bytes;
}
