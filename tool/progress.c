// SPDX-License-Identifier: Apache-2.0
#include "progress.h"

#include "clock.h"
#include "terminal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

// Mean of about the last 20 steps. 0.1 s is tqdm's shortest interval; 30 s without a line makes people wonder.
#define SMOOTHING       0.05
#define REDRAW_SECONDS  0.1
#define SILENCE_SECONDS 30.0

const char *progress_rate(double rate, char text[32])
{
    const char *unit = "";
    if (rate >= 1e9)
        rate /= 1e9, unit = "G";
    else if (rate >= 1e6)
        rate /= 1e6, unit = "M";
    else if (rate >= 1e3)
        rate /= 1e3, unit = "k";
    snprintf(text, 32, "%.*f%s", rate < 10 ? 2 : rate < 100 ? 1 : 0, rate, unit);
    return text;
}

const char *progress_time(double seconds, char text[32])
{
    bool known = seconds >= 0 && seconds < 1e9;
    long s = known ? lround(seconds) : 0, h = s / 3600;
    if (!known)
        snprintf(text, 32, "?");
    else if (h)
        snprintf(text, 32, "%ld:%02ld:%02ld", h, s / 60 % 60, s % 60);
    else
        snprintf(text, 32, "%02ld:%02ld", s / 60, s % 60);
    return text;
}

void progress_start(struct progress *progress, int64_t first, int64_t steps, int64_t log_every)
{
    double now = clock_seconds();
    *progress = (struct progress){.first = first,
                                  .steps = steps,
                                  .log_every = log_every,
                                  .start = now,
                                  .told = now,
                                  .loss = (double)NAN,
                                  .evaluation = (double)NAN};
}

// ", 61% of peak" behind `before`, or nothing where no peak is known.
static const char *share_of_peak(const struct progress *p, const char *before, char text[48])
{
    text[0] = 0;
    if (p->peak > 0)
        snprintf(text, 48, "%s%.0f%% of peak", before,
                 100 * p->step_operations / p->step_seconds / p->peak);
    return text;
}

// What stands behind the bar. Where the terminal is narrow, steps a second are left out: the end may be cut.
static void print_tail(const struct progress *p, const struct step_report *report, double now,
                       bool narrow, char tail[256])
{
    char left[32], past[32], rate[32], peak[48], steps[48] = "", evaluation[48] = "";
    if (!narrow) snprintf(steps, sizeof steps, ", %.1f step/s", 1 / p->step_seconds);
    if (isfinite(p->evaluation))
        snprintf(evaluation, sizeof evaluation, ", val=%.4f", p->evaluation);
    snprintf(tail, 256, "| %lld/%lld [%s<%s, loss=%.4f%s, %s tok/s%s%s]", (long long)report->step,
             (long long)p->steps, progress_time(now - p->start, past),
             progress_time((double)(p->steps - report->step) * p->step_seconds, left), report->loss,
             steps, progress_rate((double)report->tokens / p->step_seconds, rate),
             share_of_peak(p, ", ", peak), evaluation);
}

static void draw(const struct progress *p, const struct step_report *report, double now)
{
    char tail[256], line[1024];
    double share = (double)report->step / (double)p->steps;
    int room = terminal_columns() - (int)strlen("train: 100%|") - 1, used;
    print_tail(p, report, now, false, tail);
    if ((int)strlen(tail) + 4 > room) print_tail(p, report, now, true, tail);

    static const char *const eighth[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
    int width = room - (int)strlen(tail);
    if (width < 2) width = 2;
    if (width > 40) width = 40;
    int eighths = (int)(share * width * 8);
    if (eighths > width * 8) eighths = width * 8;
    used = snprintf(line, sizeof line, "train: %3d%%|", (int)(share * 100));
    for (int i = 0; i < eighths / 8; i++)
        used += snprintf(line + used, sizeof line - (size_t)used, "█");
    used += snprintf(line + used, sizeof line - (size_t)used, "%s", eighth[eighths % 8]);
    for (int i = eighths / 8 + (eighths % 8 > 0); i < width; i++)
        used += snprintf(line + used, sizeof line - (size_t)used, " ");
    snprintf(line + used, sizeof line - (size_t)used, "%s", tail);
    terminal_status(line);
}

// "  exchange 12% (80% hidden)  wait 3%", where there are other processes.
static const char *share_of_travel(const struct step_report *report, char text[80])
{
    double hidden = report->hidden_seconds, open = report->exchange_seconds;
    text[0] = 0;
    if (report->bytes_sent + report->bytes_received > 0)
        snprintf(text, 80, "  exchange %.0f%% (%.0f%% hidden)  wait %.0f%%",
                 100 * open / report->seconds, 100 * hidden / (hidden + open + 1e-12),
                 100 * report->wait_seconds / report->seconds);
    return text;
}

static void tell(const struct progress *p, const struct step_report *report)
{
    char left[32], rate[32], peak[48], travel[80], norm[32] = "";
    // A server that computes nothing does not know it.
    if (isfinite(report->gradient_norm))
        snprintf(norm, sizeof norm, "norm %.3f  ", report->gradient_norm);
    terminal_say("step %lld/%lld  loss %.4f  rate %.3g  %s%s tokens/s%s%s  left %s",
                 (long long)report->step, (long long)p->steps, report->loss, report->learning_rate,
                 norm, progress_rate((double)report->tokens / p->step_seconds, rate),
                 share_of_peak(p, "  ", peak), share_of_travel(report, travel),
                 progress_time((double)(p->steps - report->step) * p->step_seconds, left));
}

void progress_step(void *context, const struct step_report *report)
{
    struct progress *p = context;
    double now = clock_seconds();
    p->loss = report->loss;
    double seconds = report->seconds > 1e-9 ? report->seconds : 1e-9;
    p->step_seconds =
        p->step_seconds > 0 ? p->step_seconds + SMOOTHING * (seconds - p->step_seconds) : seconds;
    if (terminal_is_live()) {
        if (now - p->drawn < REDRAW_SECONDS && report->step < p->steps) return;
        p->drawn = now;
        draw(p, report, now);
        return;
    }
    bool due = report->step % p->log_every == 0 || report->step == p->steps;
    if (!due && now - p->told < SILENCE_SECONDS) return;
    p->told = now;
    tell(p, report);
}

void progress_evaluation(void *context, int64_t step, const struct evaluation_report *report,
                         bool best)
{
    struct progress *p = context;
    char text[256];
    p->evaluation = report->loss;
    terminal_say("step %lld/%lld  validation %s%s", (long long)step, (long long)p->steps,
                 progress_measures(report, text), best ? "  (best so far)" : "");
}

const char *progress_measures(const struct evaluation_report *report, char text[256])
{
    size_t used = (size_t)snprintf(text, 256, "loss %.4f", report->loss);
    for (int i = 0; i < report->measures && used < 200; i++) {
        const char *name = strchr(report->measure[i].tag, '/');
        used += (size_t)snprintf(text + used, 256 - used, ", %s %.4f", name ? name + 1 : "",
                                 report->measure[i].value);
    }
    return text;
}

void progress_saved(void *context, int64_t step)
{
    struct progress *p = context;
    // On a terminal the status line says enough.
    if (!terminal_is_live())
        terminal_say("step %lld/%lld  checkpoint saved", (long long)step, (long long)p->steps);
}
