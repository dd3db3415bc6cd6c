// SPDX-License-Identifier: Apache-2.0
// Errors: a status code, and one message with a trail of places for each thread.
//
// The function that decides that something is an error calls FAIL with the values in the text: the
// file or key,
// what was found, what would be right. All others forward with TRY. Outputs are written only on
// success.
// The first error of a thread wins until error_clear().
#ifndef STN_BASE_STATUS_H
#define STN_BASE_STATUS_H

#include <stddef.h>

enum status {
    STATUS_OK,
    STATUS_USAGE,       // wrong call: an argument, a key of the run file            exit code 2
    STATUS_INPUT,       // a file that is missing, damaged, hostile, not what it says exit code 3
    STATUS_MEMORY,      // not enough memory                                          exit code 4
    STATUS_DISK,        // disk full, not writable, write error                       exit code 4
    STATUS_SHAPE,       // shapes that do not fit in a graph                          exit code 1
    STATUS_UNSUPPORTED, // known, but not possible here                               exit code 1
    STATUS_PEER,        // another worker is lost                                     exit code 5
    STATUS_DIVERGED,    // a loss or gradient that is not finite                      exit code 1
    STATUS_INTERRUPTED, // a signal asked to stop; a checkpoint was written           exit code 75
};

#define CHECK_RESULT __attribute__((warn_unused_result))

// Returns `code` after recording message, file and line for this thread, unless an error is
// recorded already.
enum status error_at(enum status code, const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
// Returns `code`; appends a frame to the trail of the recorded error.
enum status error_trace(enum status code, const char *file, int line);

// The message of this thread's error, "" when there is none. Borrowed; valid until the thread's
// next error.
const char *error_message(void);
// The trail "file:line < file:line < …" for STENTOR_DEBUG=1. Borrowed.
const char *error_trail(void);
void error_clear(void);
// Records in this thread a message that another thread had: copies it.
enum status error_adopt(enum status code, const char *message);
// Copies the message of this thread's error; what does not fit is cut where a character ends.
void error_copy(char *text, size_t bytes);
// Process exit code for a status (../doc/errors.md).
int status_exit_code(enum status code);

// Both return the code itself, so that static analysis sees that it is not STATUS_OK.
#define FAIL(code, ...) return error_at(code, __FILE__, __LINE__, __VA_ARGS__), (code)
#define TRY(call)                                                                                  \
    do {                                                                                           \
        enum status status_ = (call);                                                              \
        if (status_) return error_trace(status_, __FILE__, __LINE__), status_;                     \
    } while (0)

// ---- values in messages: never half a character (UTF-8) ----
// snprintf, but for a text that has no room: it ends where a character does.
void text_print(char *text, size_t bytes, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
// So many of a text's first `most` bytes that no character is cut; of a text with an end, or of `bytes` bytes. What is no UTF-8 is cut
// anywhere.
int text_cut(const char *text, size_t most);
int text_cut_bytes(const char *text, size_t bytes, size_t most);
// Both arguments of a "%.*s".
#define CUT(text, most) text_cut(text, most), (text)

// A programming error: prints place and text, aborts the whole job. Never for user input, never
// for I/O.
#define INVARIANT(condition, ...)                                                                  \
    do {                                                                                           \
        if (!(condition)) invariant_failed(__FILE__, __LINE__, #condition, __VA_ARGS__);           \
    } while (0)
_Noreturn void invariant_failed(const char *file, int line, const char *condition,
                                const char *format, ...) __attribute__((format(printf, 4, 5)));
#endif
