/*
 * Fibers on pooled mmap stacks with a guard page. The switch saves the callee-saved registers on the stack that is left
 * and loads them from the one that is entered: a few instructions on x86-64 and AArch64, ucontext elsewhere.
 */
#include "service/base/fiber.h"

#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

#include "service/base/clock.h"
#include "service/base/limits.h"
#include "service/base/mem.h"

#if defined(__SANITIZE_ADDRESS__)
#define FIBER_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FIBER_ASAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define FIBER_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define FIBER_TSAN 1
#endif
#endif
#ifdef FIBER_ASAN
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef FIBER_TSAN
#include <sanitizer/tsan_interface.h>
#endif
#if defined(__has_include)
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#define FIBER_VALGRIND 1
#endif
#endif

#include "service/base/banned.h"

/* Sanitizer builds have larger frames and no guard tricks of their own on foreign stacks. */
#if defined(FIBER_ASAN) || defined(FIBER_TSAN)
#define STACK_BYTES ((size_t)LIMIT_FIBER_STACK * 4)
#else
#define STACK_BYTES ((size_t)LIMIT_FIBER_STACK)
#endif
#define STACKS_KEPT 256 /* pooled per thread; more are unmapped when their fiber ends */

struct fiber {
	void *sp;
	char *map; /* guard page, then the stack */
	size_t map_bytes;
	void (*fn)(void *arg);
	void *arg;
	struct fiber_loop *loop;
	struct fiber *link;      /* ready list */
	struct fiber *pool_link; /* stacks of this thread that may be used again; apart from `link`: one may be in both
				    lists */
	struct fiber *prev_live, *next_live;
	atomic_int queued; /* posted and not resumed yet */
	atomic_int cancelled;
	int shield;
	bool live, metered;
	int64_t cpu_ns;  /* of processors, while metered, up to its last park */
	int64_t held_ns; /* see fiber_held */
#ifdef FIBER_ASAN
	void *fake_stack;
#endif
#ifdef FIBER_TSAN
	void *tsan;
#endif
#ifdef FIBER_VALGRIND
	unsigned valgrind_id;
#endif
};

struct thread {
	struct fiber_loop *loop;
	struct fiber *current;
	void *main_sp;
	struct fiber *pool;
	size_t n_pool, n_live;
	uint64_t n_runs;
	int64_t cpu_from;   /* the present fiber, metered, has run since then */
	struct fiber *live; /* started and not ended */
	bool cancelling;    /* fibers start cancelled */
	int number;         /* of the loop, from `numbers`; -1: there was none left */
#ifdef FIBER_ASAN
	const void *main_bottom;
	size_t main_bytes;
#endif
#ifdef FIBER_TSAN
	void *main_tsan;
#endif
};

static _Thread_local struct thread thread = {.number = -1};
static _Atomic uint64_t numbers; /* bits of the loop numbers that are taken */

/* ---- the switch ---- */

#if defined(__x86_64__)
void fiber_switch_asm(void **save_sp, void *load_sp);
__asm__(".text\n"
	".globl fiber_switch_asm\n"
	".hidden fiber_switch_asm\n"
	".type fiber_switch_asm,@function\n"
	"fiber_switch_asm:\n"
	"	endbr64\n"
	"	pushq %rbp\n"
	"	pushq %rbx\n"
	"	pushq %r12\n"
	"	pushq %r13\n"
	"	pushq %r14\n"
	"	pushq %r15\n"
	"	movq %rsp, (%rdi)\n"
	"	movq %rsi, %rsp\n"
	"	popq %r15\n"
	"	popq %r14\n"
	"	popq %r13\n"
	"	popq %r12\n"
	"	popq %rbx\n"
	"	popq %rbp\n"
	"	ret\n"
	".size fiber_switch_asm,.-fiber_switch_asm\n");
#define SWITCH(save, load) fiber_switch_asm((save), (load))

/* The frame that the first switch pops: six registers, then the entry as return address, aligned as after a call. */
static void *stack_prepare(char *top, void (*entry)(void))
{
	void **sp = (void **)(void *)top;
	*--sp = NULL; /* keeps the stack 16-byte aligned at entry, and ends backtraces */
	*--sp = (void *)(uintptr_t)entry;
	for (int i = 0; i < 6; i++)
		*--sp = NULL;
	return sp;
}
#elif defined(__aarch64__)
void fiber_switch_asm(void **save_sp, void *load_sp);
__asm__(".text\n"
	".globl fiber_switch_asm\n"
	".hidden fiber_switch_asm\n"
	".type fiber_switch_asm,%function\n"
	"fiber_switch_asm:\n"
	"	sub sp, sp, #160\n"
	"	stp x19, x20, [sp, #0]\n"
	"	stp x21, x22, [sp, #16]\n"
	"	stp x23, x24, [sp, #32]\n"
	"	stp x25, x26, [sp, #48]\n"
	"	stp x27, x28, [sp, #64]\n"
	"	stp x29, x30, [sp, #80]\n"
	"	stp d8, d9, [sp, #96]\n"
	"	stp d10, d11, [sp, #112]\n"
	"	stp d12, d13, [sp, #128]\n"
	"	stp d14, d15, [sp, #144]\n"
	"	mov x9, sp\n"
	"	str x9, [x0]\n"
	"	mov sp, x1\n"
	"	ldp x19, x20, [sp, #0]\n"
	"	ldp x21, x22, [sp, #16]\n"
	"	ldp x23, x24, [sp, #32]\n"
	"	ldp x25, x26, [sp, #48]\n"
	"	ldp x27, x28, [sp, #64]\n"
	"	ldp x29, x30, [sp, #80]\n"
	"	ldp d8, d9, [sp, #96]\n"
	"	ldp d10, d11, [sp, #112]\n"
	"	ldp d12, d13, [sp, #128]\n"
	"	ldp d14, d15, [sp, #144]\n"
	"	add sp, sp, #160\n"
	"	ret\n"
	".size fiber_switch_asm,.-fiber_switch_asm\n");
#define SWITCH(save, load) fiber_switch_asm((save), (load))

/* x30 (the link register) of the frame is where the first `ret` goes. */
static void *stack_prepare(char *top, void (*entry)(void))
{
	void **sp = (void **)(void *)(top - 160);
	for (int i = 0; i < 20; i++)
		sp[i] = NULL;
	sp[11] = (void *)(uintptr_t)entry;
	return sp;
}
#else
#error "fiber.c: no context switch for this architecture"
#endif

/* ---- what sanitizers want to know ---- */

static void leave_main(struct fiber *f, void **fake)
{
#ifdef FIBER_ASAN
	__sanitizer_start_switch_fiber(fake, f->map + f->map_bytes - STACK_BYTES, STACK_BYTES);
#endif
#ifdef FIBER_TSAN
	__tsan_switch_to_fiber(f->tsan, 0);
#endif
	(void)f;
	(void)fake;
}

static void back_on_main(void *fake)
{
#ifdef FIBER_ASAN
	__sanitizer_finish_switch_fiber(fake, NULL, NULL);
#endif
	(void)fake;
}

/* ending: the fiber never comes back, its fake stack may go. */
static void leave_fiber(struct fiber *f, bool ending)
{
#ifdef FIBER_ASAN
	__sanitizer_start_switch_fiber(ending ? NULL : &f->fake_stack, thread.main_bottom, thread.main_bytes);
#endif
#ifdef FIBER_TSAN
	__tsan_switch_to_fiber(thread.main_tsan, 0);
#endif
	(void)f;
	(void)ending;
}

static void arrived_in_fiber(struct fiber *f)
{
#ifdef FIBER_ASAN
	__sanitizer_finish_switch_fiber(f->fake_stack, &thread.main_bottom, &thread.main_bytes);
#endif
	(void)f;
}

/* ---- stacks ---- */

static struct fiber *stack_map(void)
{
	size_t guard = (size_t)sysconf(_SC_PAGESIZE);
	size_t bytes = STACK_BYTES + guard;
	char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE, -1,
		       0);
	if (p == MAP_FAILED || mprotect(p, guard, PROT_NONE) != 0)
		mem_fail();
	struct fiber *f = mem_alloc(sizeof(*f));
	f->map = p;
	f->map_bytes = bytes;
#ifdef FIBER_VALGRIND
	f->valgrind_id = VALGRIND_STACK_REGISTER(p + guard, p + bytes);
#endif
#ifdef FIBER_TSAN
	f->tsan = __tsan_create_fiber(0);
#endif
	return f;
}

static void stack_unmap(struct fiber *f)
{
#ifdef FIBER_VALGRIND
	VALGRIND_STACK_DEREGISTER(f->valgrind_id);
#endif
#ifdef FIBER_TSAN
	__tsan_destroy_fiber(f->tsan);
#endif
	munmap(f->map, f->map_bytes);
	mem_free(f);
}

/* The lowest number that is free. */
static int number_take(void)
{
	uint64_t taken = atomic_load(&numbers);
	for (;;) {
		if (taken == UINT64_MAX)
			return -1;
		const int n = __builtin_ctzll(~taken);
		if (atomic_compare_exchange_weak(&numbers, &taken, taken | (UINT64_C(1) << n)))
			return n;
	}
}

static void number_give(int n)
{
	if (n >= 0)
		atomic_fetch_and(&numbers, ~(UINT64_C(1) << n));
}

void fiber_thread_init(struct fiber_loop *loop)
{
	number_give(thread.number);
	thread.number = loop != NULL ? number_take() : -1;
	thread.loop = loop;
	thread.cancelling = false;
#ifdef FIBER_TSAN
	thread.main_tsan = __tsan_get_current_fiber();
#endif
	if (loop != NULL)
		return;
	while (thread.pool != NULL) {
		struct fiber *f = thread.pool;
		thread.pool = f->pool_link;
		stack_unmap(f);
	}
	thread.n_pool = 0;
}

/* ---- life of a fiber ---- */

static NORETURN void fiber_entry(void)
{
	struct fiber *f = thread.current;
	arrived_in_fiber(f);
	f->fn(f->arg);
	f->live = false;
	leave_fiber(f, true);
	SWITCH(&f->sp, thread.main_sp);
	__builtin_unreachable();
}

/* Runs f on its stack until it parks or ends. The struct outlives its fiber: late wake-ups may still name it, so the
 * stacks over STACKS_KEPT give their pages back to the system but keep their address range. */
static bool run(struct fiber *f)
{
	void *fake = NULL;
	thread.current = f;
	thread.n_runs++;
	if (f->metered)
		thread.cpu_from = clock_thread_cpu_ns();
	leave_main(f, &fake);
	SWITCH(&thread.main_sp, f->sp);
	back_on_main(fake);
	thread.current = NULL;
	if (f->metered)
		f->cpu_ns += clock_thread_cpu_ns() - thread.cpu_from;
	if (f->live)
		return false;
	thread.n_live--;
	if (f->prev_live != NULL)
		f->prev_live->next_live = f->next_live;
	else
		thread.live = f->next_live;
	if (f->next_live != NULL)
		f->next_live->prev_live = f->prev_live;
	if (thread.n_pool >= STACKS_KEPT)
		madvise(f->map + (f->map_bytes - STACK_BYTES), STACK_BYTES, MADV_DONTNEED);
	f->pool_link = thread.pool;
	thread.pool = f;
	thread.n_pool++;
	return true;
}

bool fiber_start(void (*fn)(void *arg), void *arg, struct fiber **ret_parked)
{
	struct fiber *f = thread.pool;
	if (f != NULL) {
		thread.pool = f->pool_link;
		thread.n_pool--;
	} else {
		f = stack_map();
	}
	f->fn = fn;
	f->arg = arg;
	f->loop = thread.loop;
	f->shield = 0;
	f->metered = false;
	f->held_ns = 0;
	f->live = true;
	atomic_store_explicit(&f->cancelled, thread.cancelling ? 1 : 0, memory_order_relaxed);
	f->prev_live = NULL;
	f->next_live = thread.live;
	if (thread.live != NULL)
		thread.live->prev_live = f;
	thread.live = f;
#ifdef FIBER_ASAN
	f->fake_stack = NULL;
#endif
	f->sp = stack_prepare(f->map + f->map_bytes, fiber_entry);
	thread.n_live++;
	bool ended = run(f);
	*ret_parked = ended ? NULL : f;
	return ended;
}

bool fiber_resume(struct fiber *f)
{
	atomic_store(&f->queued, 0);
	return !f->live ||
	       run(f); /* a wake-up that its end has overtaken; one for its stack's next fiber is spurious there */
}

struct fiber **fiber_link(struct fiber *f)
{
	return &f->link;
}

struct fiber *fiber_current(void)
{
	return thread.current;
}

uint64_t fiber_runs(void)
{
	return thread.n_runs;
}

struct fiber_loop *fiber_current_loop(void)
{
	return thread.current != NULL ? thread.current->loop : NULL;
}

struct fiber_loop *fiber_thread_loop(void)
{
	return thread.loop;
}

int fiber_loop_number(void)
{
	return thread.number;
}

void fiber_park(void)
{
	struct fiber *f = thread.current;
	leave_fiber(f, false);
	SWITCH(&f->sp, thread.main_sp);
	arrived_in_fiber(f);
}

void fiber_ready(struct fiber *f)
{
	if (atomic_exchange(&f->queued, 1) == 0)
		f->loop->post(f->loop, f);
}

void fiber_ready_soon(struct fiber *f)
{
	if (atomic_exchange(&f->queued, 1) == 0)
		f->loop->post_soon(f->loop, f);
}

void fiber_step_aside(void)
{
	struct fiber *f = thread.current;
	if (atomic_exchange(&f->queued, 1) == 0)
		f->loop->post_aside(f->loop, f);
	fiber_park();
}

int64_t fiber_cpu_ns(void)
{
	struct fiber *f = thread.current;
	const int64_t now = clock_thread_cpu_ns();
	if (!f->metered) {
		f->metered = true;
		f->cpu_ns = 0;
		thread.cpu_from = now;
	}
	return f->cpu_ns + now - thread.cpu_from;
}

void fiber_held(int64_t ns)
{
	thread.current->held_ns += ns;
}

int64_t fiber_held_ns(void)
{
	return thread.current != NULL ? thread.current->held_ns : 0;
}

void fiber_cancel(struct fiber *f)
{
	atomic_store(&f->cancelled, 1);
	fiber_ready(f);
}

void fiber_cancel_all(void)
{
	thread.cancelling = true;
	for (struct fiber *f = thread.live; f != NULL; f = f->next_live)
		fiber_cancel(f);
}

bool fiber_cancel_asked(const struct fiber *f)
{
	return atomic_load(&f->cancelled) != 0;
}

bool fiber_shielded(void)
{
	const struct fiber *f = fiber_current();
	return f != NULL && f->shield > 0;
}

bool fiber_cancelled(void)
{
	struct fiber *f = thread.current;
	return f != NULL && f->shield == 0 && atomic_load(&f->cancelled) != 0;
}

void fiber_shield(void)
{
	if (thread.current != NULL)
		thread.current->shield++;
}

void fiber_unshield(void)
{
	if (thread.current != NULL)
		thread.current->shield--;
}

size_t fiber_count(void)
{
	return thread.n_live;
}
