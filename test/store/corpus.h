// SPDX-License-Identifier: Apache-2.0
// Safetensors files of enemies and of friends, each with what must happen to it. Numbers in names are the groups of doc/store.md.
#ifndef STN_TEST_STORE_CORPUS_H
#define STN_TEST_STORE_CORPUS_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// STRICTER: the Rust reader takes it, we refuse it, for the reason that doc/store.md gives.
enum verdict { REFUSED, ACCEPTED, STRICTER };

enum { LENGTH_OF_HEADER = -1, NO_LENGTH = -2 };

struct corpus_case {
    const char *name;
    const char *header;
    size_t header_bytes;
    int64_t
        length; // what the length field says; LENGTH_OF_HEADER; NO_LENGTH: the header is the whole file
    size_t data; // bytes behind the header
    enum verdict verdict;
    const char *says; // part of the message
};

#define HEADER(text)     text, sizeof(text) - 1
#define ONE(name, entry) "{\"" name "\":" entry "}"
#define F32_4            "{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]}"
#define SAME10                                                                                     \
    "{\"a\":" F32_4 ",\"b\":" F32_4 ",\"c\":" F32_4 ",\"d\":" F32_4 ",\"e\":" F32_4                \
    ",\"f\":" F32_4 ",\"g\":" F32_4 ",\"h\":" F32_4 ",\"i\":" F32_4 ",\"j\":" F32_4 "}"
#define ENTRY(dtype, shape, offsets)                                                               \
    "{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"

static const struct corpus_case corpus[] = {
    // ---- 1-3: length ----
    {"01_empty_file", HEADER(""), NO_LENGTH, 0, REFUSED, "has 0 bytes"},
    {"01_seven_bytes", HEADER("\0\0\0\0\0\0\0"), NO_LENGTH, 0, REFUSED, "has 7 bytes"},
    {"01_only_a_length_of_0", HEADER(""), LENGTH_OF_HEADER, 0, REFUSED, "'{' is expected"},
    {"02_length_100000001", HEADER("{}"), 100000001, 0, REFUSED, "at most 100000000 are allowed"},
    {"02_length_2_63", HEADER("{}"), INT64_MIN, 0, REFUSED, "9223372036854775808 bytes"},
    {"02_length_2_64_less_1", HEADER("\xff\xff\xff\xff\xff\xff\xff\xff{}"), NO_LENGTH, 0, REFUSED,
     "18446744073709551615 bytes"},
    {"02_length_2_64_less_8", HEADER("\xf8\xff\xff\xff\xff\xff\xff\xff{}"), NO_LENGTH, 0, REFUSED,
     "18446744073709551608 bytes"},
    {"03_length_beyond_the_end", HEADER("{}"), 3, 0, REFUSED,
     "a header of 3 bytes in a file of 10"},
    {"03_length_far_beyond", HEADER("{}"), 99999999, 0, REFUSED, "it was cut short"},
    {"03_foreign_file_gguf", HEADER("GGUF\3\0\0\0\1\0\0\0\0\0\0\0"), NO_LENGTH, 0, REFUSED,
     "is it a safetensors file?"},
    {"03_foreign_file_zip", HEADER("PK\3\4\0\0\10\10\0\0archive/data.pkl"), NO_LENGTH, 0, REFUSED,
     "is it a safetensors file?"},
    // ---- 4-5: text ----
    {"04_not_utf8", HEADER("{\"a\xff\":" F32_4 "}"), LENGTH_OF_HEADER, 16, REFUSED,
     "not valid UTF-8"},
    {"04_overlong_slash", HEADER("{\"a\xc0\xaf\":" F32_4 "}"), LENGTH_OF_HEADER, 16, REFUSED,
     "not valid UTF-8"},
    {"04_surrogate", HEADER("{\"a\xed\xa0\x80\":" F32_4 "}"), LENGTH_OF_HEADER, 16, REFUSED,
     "not valid UTF-8"},
    {"04_lone_escaped_surrogate", HEADER("{\"a\\ud800\":" F32_4 "}"), LENGTH_OF_HEADER, 16, REFUSED,
     "surrogates"},
    {"04_not_utf8_outside_of_strings", HEADER("{\xfe}"), LENGTH_OF_HEADER, 0, REFUSED, "byte 0xfe"},
    {"05_only_a_brace", HEADER("{"), LENGTH_OF_HEADER, 0, REFUSED, "ends at byte 1"},
    {"05_array", HEADER("[]"), LENGTH_OF_HEADER, 0, REFUSED, "'{' is expected"},
    {"05_number", HEADER("17"), LENGTH_OF_HEADER, 0, REFUSED, "'{' is expected"},
    {"05_null", HEADER("null"), LENGTH_OF_HEADER, 0, REFUSED, "'{' is expected"},
    {"05_trailing_garbage", HEADER("{}x"), LENGTH_OF_HEADER, 0, REFUSED, "the end is expected"},
    {"05_two_objects", HEADER("{}{}"), LENGTH_OF_HEADER, 0, REFUSED, "the end is expected"},
    {"05_trailing_nul", HEADER("{}\0\0"), LENGTH_OF_HEADER, 0, REFUSED, "byte 0x00"},
    {"05_trailing_comma", HEADER("{\"a\":" F32_4 ",}"), LENGTH_OF_HEADER, 16, REFUSED,
     "quotes is expected"},
    {"05_leading_comma", HEADER("{,\"a\":" F32_4 "}"), LENGTH_OF_HEADER, 16, REFUSED,
     "quotes is expected"},
    {"05_missing_comma", HEADER("{\"a\":" F32_4 " \"b\":" F32_4 "}"), LENGTH_OF_HEADER, 16, REFUSED,
     "',' is expected"},
    {"05_missing_colon", HEADER("{\"a\" " F32_4 "}"), LENGTH_OF_HEADER, 16, REFUSED,
     "':' is expected"},
    {"05_comment", HEADER("{/**/\"a\":" F32_4 "}"), LENGTH_OF_HEADER, 16, REFUSED,
     "quotes is expected"},
    {"05_single_quotes", HEADER("{'a':" F32_4 "}"), LENGTH_OF_HEADER, 16, REFUSED,
     "quotes is expected"},
    {"05_unclosed_string", HEADER("{\"a"), LENGTH_OF_HEADER, 0, REFUSED,
     "a closing quote is expected"},
    {"05_unknown_escape", HEADER("{\"a\\x\":" F32_4 "}"), LENGTH_OF_HEADER, 16, REFUSED,
     "unknown escape"},
    {"05_short_escape", HEADER("{\"a\\u00"), LENGTH_OF_HEADER, 0, REFUSED, "cut-off escape"},
    {"05_bad_escape_digits", HEADER("{\"a\\u00g0\":" F32_4 "}"), LENGTH_OF_HEADER, 16, REFUSED,
     "hexadecimal"},
    {"05_byte_order_mark", HEADER("\xef\xbb\xbf{}"), LENGTH_OF_HEADER, 0, REFUSED, "byte 0xef"},
    // ---- 6-9: places ----
    {"06_ten_tensors_in_one_place", HEADER(SAME10), LENGTH_OF_HEADER, 16, REFUSED,
     "overlaps another one"},
    {"06_partial_overlap",
     HEADER("{\"a\":" ENTRY("F32", "[4]", "[0,16]") ",\"b\":" ENTRY("F32", "[4]", "[12,28]") "}"),
     LENGTH_OF_HEADER, 28, REFUSED, "overlaps another one"},
    {"06_overlap_that_sums_up",
     HEADER("{\"a\":" ENTRY("F32", "[4]", "[0,16]") ",\"b\":" ENTRY("F32", "[4]", "[8,24]") "}"),
     LENGTH_OF_HEADER, 32, REFUSED, "without overlap"},
    {"06_empty_tensor_inside_another",
     HEADER("{\"a\":" ENTRY("F32", "[4]", "[0,16]") ",\"b\":" ENTRY("F32", "[0]", "[8,8]") "}"),
     LENGTH_OF_HEADER, 16, REFUSED, "without overlap"},
    {"07_data_not_from_0", HEADER(ONE("a", ENTRY("F32", "[4]", "[4,20]"))), LENGTH_OF_HEADER, 20,
     REFUSED, "begins at 4 where 0 is expected"},
    {"07_hole",
     HEADER("{\"a\":" ENTRY("F32", "[4]", "[0,16]") ",\"b\":" ENTRY("F32", "[4]", "[20,36]") "}"),
     LENGTH_OF_HEADER, 36, REFUSED, "without a hole"},
    {"08_bytes_behind_the_last_tensor", HEADER(ONE("a", F32_4)), LENGTH_OF_HEADER, 17, REFUSED,
     "1 bytes stand behind the last tensor"},
    {"08_data_without_tensors", HEADER("{}"), LENGTH_OF_HEADER, 5, REFUSED, "5 bytes stand behind"},
    {"09_two_bytes_missing", HEADER(ONE("a", F32_4)), LENGTH_OF_HEADER, 14, REFUSED,
     "tensor \"a\" ends at byte 16 of the data, of which the file has 14"},
    {"09_all_data_missing", HEADER(ONE("a", F32_4)), LENGTH_OF_HEADER, 0, REFUSED,
     "of which the file has 0"},
    // ---- 10-13: shapes, offsets, dtypes ----
    {"10_offsets_smaller_than_shape", HEADER(ONE("a", ENTRY("F32", "[5]", "[0,16]"))),
     LENGTH_OF_HEADER, 16, REFUSED, "take 20 bytes, its data_offsets [0, 16] hold 16"},
    {"10_offsets_larger_than_shape", HEADER(ONE("a", ENTRY("F32", "[3]", "[0,16]"))),
     LENGTH_OF_HEADER, 16, REFUSED, "take 12 bytes"},
    {"10_wrong_item_size", HEADER(ONE("a", ENTRY("F64", "[4]", "[0,16]"))), LENGTH_OF_HEADER, 16,
     REFUSED, "take 32 bytes"},
    {"11_shape_product_overflow",
     HEADER(ONE("a", ENTRY("F32", "[2,18446744073709551614]", "[0,16]"))), LENGTH_OF_HEADER, 16,
     REFUSED, "dimension of 18446744073709551614"},
    {"11_shape_times_size_overflow",
     HEADER(ONE("a", ENTRY("F32", "[2,9223372036854775807]", "[0,16]"))), LENGTH_OF_HEADER, 16,
     REFUSED, "no number can count"},
    {"11_product_wraps_to_0", HEADER(ONE("a", ENTRY("F32", "[4294967296,4294967296]", "[0,0]"))),
     LENGTH_OF_HEADER, 0, REFUSED, "no number can count"},
    {"11_product_wraps_to_4", HEADER(ONE("a", ENTRY("U8", "[4611686018427387905,4]", "[0,4]"))),
     LENGTH_OF_HEADER, 4, REFUSED, "no number can count"},
    {"12_end_before_begin", HEADER(ONE("a", ENTRY("F32", "[4]", "[16,0]"))), LENGTH_OF_HEADER, 16,
     REFUSED, "ends at 0, before it begins at 16"},
    {"12_negative_offset", HEADER(ONE("a", ENTRY("F32", "[4]", "[-16,0]"))), LENGTH_OF_HEADER, 16,
     REFUSED, "not negative is expected"},
    {"12_negative_dimension", HEADER(ONE("a", ENTRY("F32", "[-4]", "[0,16]"))), LENGTH_OF_HEADER,
     16, REFUSED, "not negative is expected"},
    {"12_fractional_offset", HEADER(ONE("a", ENTRY("F32", "[4]", "[0,16.0]"))), LENGTH_OF_HEADER,
     16, REFUSED, "end of a whole number is expected"},
    {"12_exponent_offset", HEADER(ONE("a", ENTRY("F32", "[4]", "[0,16e0]"))), LENGTH_OF_HEADER, 16,
     REFUSED, "end of a whole number is expected"},
    {"12_offset_in_quotes", HEADER(ONE("a", ENTRY("F32", "[4]", "[0,\"16\"]"))), LENGTH_OF_HEADER,
     16, REFUSED, "whole number"},
    {"12_offset_beyond_2_48",
     HEADER(ONE("a", ENTRY("F32", "[4]", "[281474976710656,281474976710672]"))), LENGTH_OF_HEADER,
     16, REFUSED, "beyond any file"},
    {"12_offset_beyond_2_64", HEADER(ONE("a", ENTRY("F32", "[4]", "[0,18446744073709551616]"))),
     LENGTH_OF_HEADER, 16, REFUSED, "above 2^64"},
    {"12_leading_zero", HEADER(ONE("a", ENTRY("F32", "[04]", "[0,16]"))), LENGTH_OF_HEADER, 16,
     REFUSED, "leading zero"},
    {"13_unknown_dtype", HEADER(ONE("a", ENTRY("F31", "[4]", "[0,16]"))), LENGTH_OF_HEADER, 16,
     REFUSED, "unknown dtype \"F31\""},
    {"13_dtype_in_small_letters", HEADER(ONE("a", ENTRY("f32", "[4]", "[0,16]"))), LENGTH_OF_HEADER,
     16, REFUSED, "unknown dtype \"f32\""},
    {"13_dtype_empty", HEADER(ONE("a", ENTRY("", "[4]", "[0,16]"))), LENGTH_OF_HEADER, 16, REFUSED,
     "unknown dtype"},
    {"13_dtype_is_a_number", HEADER("{\"a\":{\"dtype\":1,\"shape\":[4],\"data_offsets\":[0,16]}}"),
     LENGTH_OF_HEADER, 16, REFUSED, "quotes is expected"},
    {"13_odd_number_of_half_bytes", HEADER(ONE("a", ENTRY("F4", "[3]", "[0,2]"))), LENGTH_OF_HEADER,
     2, REFUSED, "3 elements of F4 do not fill whole bytes"},
    {"13_six_bit_elements_inside_a_byte", HEADER(ONE("a", ENTRY("F6_E2M3", "[5]", "[0,4]"))),
     LENGTH_OF_HEADER, 4, REFUSED, "do not fill whole bytes"},
    // ---- 14-17: keys and names ----
    {"14_dtype_missing", HEADER("{\"a\":{\"shape\":[4],\"data_offsets\":[0,16]}}"),
     LENGTH_OF_HEADER, 16, REFUSED, "lacks dtype"},
    {"14_shape_missing", HEADER("{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,16]}}"),
     LENGTH_OF_HEADER, 16, REFUSED, "lacks shape"},
    {"14_offsets_missing", HEADER("{\"a\":{\"dtype\":\"F32\",\"shape\":[4]}}"), LENGTH_OF_HEADER,
     16, REFUSED, "lacks data_offsets"},
    {"14_extra_key",
     HEADER("{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16],\"x\":1}}"),
     LENGTH_OF_HEADER, 16, STRICTER, "the unknown key \"x\""},
    {"14_key_twice",
     HEADER("{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,"
            "16]}}"),
     LENGTH_OF_HEADER, 16, REFUSED, "a second key \"dtype\""},
    {"14_one_offset", HEADER(ONE("a", ENTRY("F32", "[4]", "[16]"))), LENGTH_OF_HEADER, 16, REFUSED,
     "needs two data_offsets"},
    {"14_three_offsets", HEADER(ONE("a", ENTRY("F32", "[4]", "[0,16,16]"))), LENGTH_OF_HEADER, 16,
     REFUSED, "needs two data_offsets"},
    {"14_no_offsets", HEADER(ONE("a", ENTRY("F32", "[4]", "[]"))), LENGTH_OF_HEADER, 16, REFUSED,
     "needs two data_offsets"},
    {"14_nine_dimensions", HEADER(ONE("a", ENTRY("F32", "[1,1,1,1,1,1,1,1,4]", "[0,16]"))),
     LENGTH_OF_HEADER, 16, STRICTER, "more than 8 dimensions"},
    {"14_entry_is_a_list", HEADER("{\"a\":[\"F32\",[4],[0,16]]}"), LENGTH_OF_HEADER, 16, STRICTER,
     "'{' is expected"},
    {"14_entry_is_a_number", HEADER("{\"a\":5}"), LENGTH_OF_HEADER, 0, REFUSED, "'{' is expected"},
    {"15_name_twice", HEADER("{\"a\":" F32_4 ",\"a\":" F32_4 "}"), LENGTH_OF_HEADER, 32, REFUSED,
     "overlap"},
    {"15_name_twice_without_overlap",
     HEADER("{\"a\":" ENTRY("F32", "[4]", "[0,16]") ",\"a\":" ENTRY("F32", "[4]", "[16,32]") "}"),
     LENGTH_OF_HEADER, 32, REFUSED, "tensor \"a\" stands there twice"},
    {"15_name_twice_empty",
     HEADER("{\"a\":" ENTRY("F32", "[0]", "[0,0]") ",\"a\":" ENTRY("F32", "[0]", "[0,0]") "}"),
     LENGTH_OF_HEADER, 0, STRICTER, "tensor \"a\" stands there twice"},
    {"15_name_twice_through_an_escape",
     HEADER("{\"a\":" ENTRY("F32", "[4]", "[0,16]") ",\"\\u0061\":" ENTRY("F32", "[4]",
                                                                          "[16,32]") "}"),
     LENGTH_OF_HEADER, 32, REFUSED, "tensor \"a\" stands there twice"},
    {"16_metadata_number", HEADER("{\"__metadata__\":{\"a\":1}}"), LENGTH_OF_HEADER, 0, REFUSED,
     "quotes is expected"},
    {"16_metadata_nested", HEADER("{\"__metadata__\":{\"a\":{\"b\":\"c\"}}}"), LENGTH_OF_HEADER, 0,
     REFUSED, "quotes is expected"},
    {"16_metadata_null_value", HEADER("{\"__metadata__\":{\"a\":null}}"), LENGTH_OF_HEADER, 0,
     REFUSED, "quotes is expected"},
    {"16_metadata_list", HEADER("{\"__metadata__\":[]}"), LENGTH_OF_HEADER, 0, REFUSED,
     "'{' is expected"},
    {"16_metadata_null", HEADER("{\"__metadata__\":null}"), LENGTH_OF_HEADER, 0, STRICTER,
     "'{' is expected"},
    {"16_metadata_twice", HEADER("{\"__metadata__\":{},\"__metadata__\":{}}"), LENGTH_OF_HEADER, 0,
     REFUSED, "twice"},
    {"16_metadata_key_twice", HEADER("{\"__metadata__\":{\"a\":\"1\",\"b\":\"2\",\"a\":\"3\"}}"),
     LENGTH_OF_HEADER, 0, STRICTER, "key \"a\" twice"},
    {"17_name_with_nul", HEADER("{\"a\\u0000\":" F32_4 "}"), LENGTH_OF_HEADER, 16, STRICTER,
     "a NUL"},
    {"17_name_with_control", HEADER("{\"a\\u001b[2J\":" F32_4 "}"), LENGTH_OF_HEADER, 16, STRICTER,
     "control characters"},
    {"17_name_with_bare_control", HEADER("{\"a\n\":" F32_4 "}"), LENGTH_OF_HEADER, 16, REFUSED,
     "bare control character"},
    {"17_name_empty", HEADER("{\"\":" F32_4 "}"), LENGTH_OF_HEADER, 16, STRICTER, "empty name"},
    // ---- friends ----
    {"ok_nothing", HEADER("{}"), LENGTH_OF_HEADER, 0, ACCEPTED, NULL},
    {"ok_scalar", HEADER(ONE("a", ENTRY("F32", "[]", "[0,4]"))), LENGTH_OF_HEADER, 4, ACCEPTED,
     NULL},
    {"ok_size_zero", HEADER(ONE("a", ENTRY("F32", "[2,0]", "[0,0]"))), LENGTH_OF_HEADER, 0,
     ACCEPTED, NULL},
    {"ok_size_zero_times_much", HEADER(ONE("a", ENTRY("F32", "[0,9223372036854775807]", "[0,0]"))),
     LENGTH_OF_HEADER, 0, ACCEPTED, NULL},
    {"ok_padded_behind", HEADER(ONE("a", F32_4) " \t\r\n   "), LENGTH_OF_HEADER, 16, ACCEPTED,
     NULL},
    {"ok_white_space_before", HEADER(" \n\t{ \"a\" : " F32_4 " }"), LENGTH_OF_HEADER, 16, ACCEPTED,
     NULL},
    {"ok_any_order",
     HEADER("{\"b\":" ENTRY("F32", "[4]",
                            "[16,32]") ",\"__metadata__\":{\"format\":\"pt\"},\"a\":" F32_4 "}"),
     LENGTH_OF_HEADER, 32, ACCEPTED, NULL},
    {"ok_keys_in_any_order",
     HEADER("{\"a\":{\"data_offsets\":[0,16],\"shape\":[2,2],\"dtype\":\"F32\"}}"),
     LENGTH_OF_HEADER, 16, ACCEPTED, NULL},
    {"ok_zero_between",
     HEADER("{\"a\":" F32_4
            ",\"z\":" ENTRY("F32", "[0]", "[16,16]") ",\"b\":" ENTRY("I8", "[1]", "[16,17]") "}"),
     LENGTH_OF_HEADER, 17, ACCEPTED, NULL},
    {"ok_names_are_just_names",
     HEADER("{\"__proto__\":" ENTRY("U8", "[1]", "[0,1]") ",\"../../etc/passwd\":" ENTRY(
         "U8", "[1]",
         "[1,2]") ",\"众声\":" ENTRY("U8", "[1]",
                                     "[2,3]") ",\"\\ud83d\\ude00\":" ENTRY("U8", "[1]",
                                                                           "[3,4]") "}"),
     LENGTH_OF_HEADER, 4, ACCEPTED, NULL},
    {"ok_eight_dimensions", HEADER(ONE("a", ENTRY("F32", "[1,1,1,1,1,1,2,2]", "[0,16]"))),
     LENGTH_OF_HEADER, 16, ACCEPTED, NULL},
    {"ok_every_dtype",
     HEADER(
         "{\"1\":" ENTRY("BOOL", "[1]", "[0,1]") ",\"2\":" ENTRY(
             "U8", "[1]", "[1,2]") ",\"3\""
                                   ":" ENTRY("I8", "[1]", "[2,3]") ",\"4\":" ENTRY(
                                       "F8_E5M2", "[1]",
                                       "[3,4]") ",\"5\":" ENTRY("F8_E4M3", "[1]",
                                                                "[4,5]") ",\"6\":" ENTRY("I16",
                                                                                         "[1]",
                                                                                         "[5,7]") ",\"7\""
                                                                                                  ":" ENTRY(
                                                                                                      "U16", "[1]", "[7,9]") ",\"8\":" ENTRY("F16", "[1]", "[9,11]") ",\"9\":" ENTRY("BF16", "[1]", "[11,13]") ",\"a\":" ENTRY("I32", "[1]", "[13,17]") ",\"b\":" ENTRY("U32", "[1]", "[17,21]") ",\"c\":" ENTRY("F32",
                                                                                                                                                                                                                                                                                                                 "[1]",
                                                                                                                                                                                                                                                                                                                 "[21,25]") ",\"d\":" ENTRY("F64",
                                                                                                                                                                                                                                                                                                                                            "[1]",
                                                                                                                                                                                                                                                                                                                                            "[25,33]") ",\"e\":" ENTRY("I64", "[1]", "[33,41]") ",\"f\":" ENTRY("U64",
                                                                                                                                                                                                                                                                                                                                                                                                                "[1]",
                                                                                                                                                                                                                                                                                                                                                                                                                "[41,49]") ",\"g\":" ENTRY("F4",
                                                                                                                                                                                                                                                                                                                                                                                                                                           "[2]",
                                                                                                                                                                                                                                                                                                                                                                                                                                           "[49,50]") ",\"h\":" ENTRY("F6_E3M2", "[4]", "[50,53]") ",\"i\":" ENTRY("C64", "[1]", "[53,61]") ",\"j\":" ENTRY("F8_E8M0",
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                            "[1]",
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                            "[61,62]") "}"),
     LENGTH_OF_HEADER, 62, ACCEPTED, NULL},
    {"ok_metadata",
     HEADER("{\"__metadata__\":{\"z\":\"\\\"last\\\"\",\"format\":\"pt\",\"a\":\"\\n\"},"
            "\"a\":" F32_4 "}"),
     LENGTH_OF_HEADER, 16, ACCEPTED, NULL},
};
enum { CORPUS_CASES = sizeof corpus / sizeof *corpus };

// The bytes of a case's file; the caller frees.
static inline unsigned char *corpus_bytes(const struct corpus_case *one, size_t *bytes_p)
{
    size_t before = one->length == NO_LENGTH ? 0 : 8,
           bytes = before + one->header_bytes + one->data;
    unsigned char *file = calloc(1, bytes + 1);
    uint64_t length = one->length == LENGTH_OF_HEADER ? one->header_bytes : (uint64_t)one->length;
    for (size_t i = 0; i < before; i++) file[i] = (unsigned char)(length >> (8 * i));
    memcpy(file + before, one->header, one->header_bytes);
    for (size_t i = 0; i < one->data; i++)
        file[before + one->header_bytes + i] = (unsigned char)(i * 7 + 1);
    *bytes_p = bytes;
    return file;
}
#endif
