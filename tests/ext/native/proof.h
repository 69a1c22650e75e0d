/* What the proofs of the shared-memory headers have in common: options, seeded values, a segment
 * file, workers that are processes or (PROOF_THREADS, for ThreadSanitizer) threads, and verdicts.
 *
 * Contents are a function of (seed, sequence, generation of the writer), so that a reader can
 * tell what each message must be, word for word, and who must have written it.
 */
#ifndef PIPELINE_PROOF_H
#define PIPELINE_PROOF_H

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifdef PROOF_SLOW_COPY
/* Now and then a copy stops half-way, as when its process loses the processor: what a wrong rule
 * lets through in a window of nanoseconds, it lets through here. */
static inline void *slow_memcpy(void *target, const void *source, size_t bytes)
{
    static _Thread_local unsigned turn;
    size_t half = bytes / 2 & ~(size_t)7;
    struct timespec moment = {0, 20000};
    if (bytes < 16 || ++turn % 8) return __builtin_memcpy(target, source, bytes);
    __builtin_memcpy(target, source, half);
    nanosleep(&moment, 0);
    __builtin_memcpy((uint8_t *)target + half, (const uint8_t *)source + half, bytes - half);
    return target;
}
#undef memcpy
#define memcpy slow_memcpy
#endif

#include "atomics.h"
#include "layout.h"

#define READERS_MAX 8

/* ---- verdicts: the first wrong thing ends the proof ------------------------------------------ */

static inline void fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
static inline void fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "FAILED: ");
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\n");
    _exit(1);
}

#define REQUIRE(condition, ...) do { if (!(condition)) fail(__VA_ARGS__); } while (0)

static void on_deadline(int signal_number)
{
    static const char text[] = "FAILED: deadline passed\n";
    ssize_t written = write(2, text, sizeof text - 1);
    (void)signal_number, (void)written;
    _exit(3);
}

static inline void set_deadline(unsigned seconds)
{
    signal(SIGALRM, on_deadline);
    alarm(seconds);
}

/* ---- options: name=number on the command line, and path=FILE --------------------------------- */

typedef struct {
    const char *name;
    uint64_t value;
} Option;

static inline const char *parse_options(int count, char **words, Option *options)
{
    const char *path = 0;
    for (int i = 1; i < count; i++) {
        char *equals = strchr(words[i], '=');
        Option *option = options;
        REQUIRE(equals, "%s: expected name=value", words[i]);
        *equals = 0;
        if (!strcmp(words[i], "path")) {
            path = equals + 1;
            continue;
        }
        while (option->name && strcmp(option->name, words[i])) option++;
        REQUIRE(option->name, "%s: no such option", words[i]);
        option->value = strtoull(equals + 1, 0, 10);
    }
    return path;
}

/* ---- seeded values ------------------------------------------------------------------------------ */

static inline uint64_t mix(uint64_t value)
{
    value += 0x9e3779b97f4a7c15ull;
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9ull;
    value = (value ^ (value >> 27)) * 0x94d049bb133111ebull;
    return value ^ (value >> 31);
}

static inline uint64_t random_next(uint64_t *state) { return mix((*state)++); }

static inline uint64_t content_key(uint64_t seed, uint64_t sequence, uint32_t generation)
{
    return mix(mix(seed ^ generation) ^ sequence);
}

static inline void content_fill(uint8_t *bytes, uint64_t length, uint64_t key)
{
    for (uint64_t at = 0; at < length; at += 8) {
        uint64_t word = mix(key + at);
        memcpy(bytes + at, &word, length - at < 8 ? length - at : 8);
    }
}

static inline int content_equal(const uint8_t *bytes, uint64_t length, uint64_t key)
{
    for (uint64_t at = 0; at < length; at += 8) {
        uint64_t word = mix(key + at);
        if (memcmp(bytes + at, &word, length - at < 8 ? length - at : 8)) return 0;
    }
    return 1;
}

static inline void pause_some(uint64_t turns)
{
    while (turns--) cpu_pause();
}

/* ---- memory that all workers see -------------------------------------------------------------------- */

static inline void *map_shared_pages(uint64_t bytes)
{
    void *pages = mmap(0, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(pages != MAP_FAILED, "mmap of %llu bytes: %s", (unsigned long long)bytes, strerror(errno));
    return pages;
}

static inline void create_file(const char *path, uint64_t bytes)
{
    int descriptor;
    REQUIRE(path, "path=FILE is missing");
    descriptor = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    REQUIRE(descriptor >= 0 && !posix_fallocate(descriptor, 0, (off_t)bytes), "%s: cannot create", path);
    close(descriptor);
}

/* Each process maps the file anew, as those of an instance do; readers read-only. Threads share
 * one map: ThreadSanitizer knows addresses, not files, and sees nothing across two maps. */
static inline void *map_file(const char *path, uint64_t bytes, int writable)
{
#ifdef PROOF_THREADS
    static void *pages;
    if (pages) return pages;
    writable = 1;
#else
    void *pages;
#endif
    int descriptor = open(path, writable ? O_RDWR : O_RDONLY);
    REQUIRE(descriptor >= 0, "%s: cannot open", path);
    pages = mmap(0, bytes, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, descriptor, 0);
    REQUIRE(pages != MAP_FAILED, "%s: cannot map", path);
    close(descriptor);
    return pages;
}

/* ---- workers ------------------------------------------------------------------------------------------ */

typedef struct {
    void *(*body)(void *);
    void *argument;
#ifdef PROOF_THREADS
    pthread_t thread;
#else
    pid_t pid;
#endif
} Worker;

static unsigned worker_deadline_s __attribute__((unused)) = 100;

#ifdef PROOF_THREADS
static inline void worker_start(Worker *worker)
{
    REQUIRE(!pthread_create(&worker->thread, 0, worker->body, worker->argument), "no thread");
}
static inline void worker_join(Worker *worker) { pthread_join(worker->thread, 0); }
#else
static inline void worker_start(Worker *worker)
{
    pid_t parent = getpid();
    worker->pid = fork();
    REQUIRE(worker->pid >= 0, "no process");
    if (worker->pid) return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(2);
    set_deadline(worker_deadline_s);
    worker->body(worker->argument);
    _exit(0);
}
static inline void worker_join(Worker *worker)
{
    int status;
    REQUIRE(waitpid(worker->pid, &status, 0) == worker->pid, "a worker is gone");
    REQUIRE(WIFEXITED(status) && WEXITSTATUS(status) == 0, "a worker ended with status %d", status);
}
/* Wait for a writer that dies by SIGKILL: by our hand, or at a crash point of its own. */
static inline void worker_join_killed(Worker *worker)
{
    int status;
    REQUIRE(waitpid(worker->pid, &status, 0) == worker->pid, "a worker is gone");
    REQUIRE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "a writer ended with status %d", status);
}
#endif

#endif
