// SPDX-License-Identifier: Apache-2.0
// TensorBoard event files: records of length, masked CRC-32C, protobuf message, masked CRC-32C. The three messages that we
// write (Event, Summary, SessionLog) are encoded by hand. Source: tensorboard/compat/tensorflow_stub/io/record_writer.py, event.proto.
#ifndef STN_TRAIN_EVENT_FILE_H
#define STN_TRAIN_EVENT_FILE_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

struct event_file;
struct measure; // train/run_log.h

// Creates <directory>/events.out.tfevents.<seconds>.<host>.<pid>.<n> with its opening record. first_step > 0: tells TensorBoard
// to forget what an earlier file of the folder says of this step and later ones. Fails: STATUS_DISK.
enum status event_file_create(const char *directory, double wall_time, int64_t first_step,
                              struct event_file **file_p) CHECK_RESULT;
// One record with all measures of a step. Fails: STATUS_DISK; the file then ends with the last whole record.
enum status event_file_write(struct event_file *file, double wall_time, int64_t step,
                             const struct measure *measure, int count) CHECK_RESULT;
void event_file_close(struct event_file *file);
// CRC-32C (Castagnoli): polynomial 0x1EDC6F41, reflected.
uint32_t crc32c(const void *data, size_t bytes);
#endif
