// SPDX-License-Identifier: Apache-2.0
// A text cut into sentences, by what stands where they end.
//
// A sentence ends behind . ! ? or … and the quotes and brackets that close there, where a space follows and then no small letter; not
// behind initials and common abbreviations (J. Smith, e.g. this, Fig. 3), nor behind the number that begins a list's entry (2. Second).
// Chinese ones end behind 。！？； and what closes there, whatever follows, and behind . ! ? where Chinese goes on without a space. A
// line's end always ends one. Modest: what is doubtful is left together.
#ifndef STN_TEXT_SENTENCES_H
#define STN_TEXT_SENTENCES_H

#include "text/buffer.h"

// The next sentence from byte *at on, which starts at 0, without spaces at its ends; false: no more come. What a call reads does not
// depend on calls before, and all of them together take time in the text's length. Any bytes.
bool sentence_next(struct text text, size_t *at, struct text *sentence_p);
// The same of a text whose sentences are its lines: empty ones are none.
bool sentence_next_line(struct text text, size_t *at, struct text *sentence_p);
#endif
