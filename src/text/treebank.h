// SPDX-License-Identifier: Apache-2.0
// Words of English as NLTK's word tokenizer (after the Penn Treebank) splits them, of a text that is taken as one sentence.
#ifndef STN_TEXT_TREEBANK_H
#define STN_TEXT_TREEBANK_H

#include "text/buffer.h"

// The compiled rules; for one thread at a time.
struct treebank;
enum status treebank_create(struct treebank **treebank_p) CHECK_RESULT;
void treebank_destroy(struct treebank *treebank);
// Replaces what `words` holds by the text with spaces between words. Bytes outside UTF-8 become U+FFFD.
enum status treebank_split(struct treebank *treebank, struct text text,
                           struct buffer *words) CHECK_RESULT;
#endif
