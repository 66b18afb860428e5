/* SPDX-License-Identifier: MIT */
/*
 * The list of system calls. What is not on it fails with EPERM: a C library that tries something
 * new must not end a run of months. What only an intruder would do ends the process, and the kernel
 * notes it. Why so is in docs/architecture.md.
 */
#include "syscalls.h"

#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sanitized.h"

#define CALL(name) SCMP_SYS(name)

/* Whatever their arguments are: which files may be opened is for Landlock to say. */
static const int allowed[] = {
	/* bytes */
	CALL(read),
	CALL(readv),
	CALL(pread64),
	CALL(preadv),
	CALL(write),
	CALL(writev),
	CALL(pwrite64),
	CALL(lseek),
	CALL(_llseek),
	CALL(fsync),
	CALL(fdatasync),
	CALL(sync_file_range),
	CALL(ftruncate),
	CALL(ftruncate64),
	CALL(fallocate),
	CALL(fadvise64),
	CALL(fadvise64_64),
	CALL(sendfile),
	CALL(copy_file_range),
	/* files by name */
	CALL(open),
	CALL(openat),
	CALL(close),
	CALL(close_range),
	CALL(stat),
	CALL(lstat),
	CALL(fstat),
	CALL(newfstatat),
	CALL(stat64),
	CALL(lstat64),
	CALL(fstat64),
	CALL(fstatat64),
	CALL(statx),
	CALL(statfs),
	CALL(fstatfs),
	CALL(access),
	CALL(faccessat),
	CALL(faccessat2),
	CALL(readlink),
	CALL(readlinkat),
	CALL(getdents),
	CALL(getdents64),
	CALL(getcwd),
	CALL(rename),
	CALL(renameat),
	CALL(renameat2),
	CALL(unlink),
	CALL(unlinkat),
	CALL(mkdir),
	CALL(mkdirat),
	CALL(fchmod),
	CALL(fchown),
	CALL(umask),
	CALL(utimensat),
	CALL(flock),
	/* descriptors, and waiting for them */
	CALL(dup),
	CALL(dup2),
	CALL(dup3),
	CALL(fcntl),
	CALL(fcntl64),
	CALL(pipe2),
	CALL(eventfd2),
	CALL(poll),
	CALL(ppoll),
	CALL(ppoll_time64),
	CALL(select),
	CALL(_newselect),
	CALL(pselect6),
	CALL(pselect6_time64),
	CALL(epoll_create1),
	CALL(epoll_ctl),
	CALL(epoll_wait),
	CALL(epoll_pwait),
	CALL(timerfd_create),
	CALL(timerfd_settime),
	/* memory, but none that can be executed: see below */
	CALL(brk),
	CALL(munmap),
	CALL(mremap),
	CALL(madvise),
	CALL(mincore),
	CALL(mlock),
	CALL(munlock),
	/* threads, but no processes: see below */
	CALL(exit),
	CALL(exit_group),
	CALL(futex),
	CALL(futex_time64),
	CALL(set_robust_list),
	CALL(get_robust_list),
	CALL(rseq),
	CALL(membarrier),
	CALL(set_tid_address),
	CALL(gettid),
	CALL(sched_yield),
	CALL(getpriority),
	CALL(setpriority),
	CALL(sched_getaffinity),
	CALL(sched_setaffinity),
	CALL(getcpu),
	/* signals that come */
	CALL(rt_sigaction),
	CALL(rt_sigprocmask),
	CALL(rt_sigreturn),
	CALL(rt_sigpending),
	CALL(rt_sigtimedwait),
	CALL(rt_sigtimedwait_time64),
	CALL(rt_sigsuspend),
	CALL(sigaltstack),
	CALL(sigreturn),
	CALL(restart_syscall),
	/* time */
	CALL(clock_gettime),
	CALL(clock_gettime64),
	CALL(clock_getres),
	CALL(clock_getres_time64),
	CALL(clock_nanosleep),
	CALL(clock_nanosleep_time64),
	CALL(nanosleep),
	CALL(gettimeofday),
	CALL(time),
	/* who and where we are */
	CALL(getpid),
	CALL(getppid),
	CALL(getpgrp),
	CALL(getpgid),
	CALL(getuid),
	CALL(geteuid),
	CALL(getgid),
	CALL(getegid),
	CALL(getuid32),
	CALL(geteuid32),
	CALL(getgid32),
	CALL(getegid32),
	CALL(uname),
	CALL(sysinfo),
	CALL(getrlimit),
	CALL(ugetrlimit),
	CALL(getrusage),
	CALL(times),
	CALL(getrandom),
	CALL(capget),
};

/*
 * Opening an interface again, and what the kernel has counted. No connect, and no sendto with an
 * address: a socket of AF_INET, which libpcap and we take for ioctl, can send nothing.
 */
static const int allowed_live[] = {
	CALL(bind),
	CALL(setsockopt),
	CALL(getsockopt),
	CALL(getsockname),
	CALL(recvfrom),
	CALL(recvmsg),
	CALL(recv),
};

/*
 * Connections that others have opened (--listen): the port is bound before. A datagram could be
 * sent with sendmsg, whose address a filter can't see; who has got in and is connected needs none.
 */
static const int allowed_serving[] = {
	CALL(accept),
	CALL(accept4),
	CALL(shutdown),
	CALL(setsockopt),
	CALL(getsockopt),
	CALL(getsockname),
	CALL(getpeername),
	CALL(recvfrom),
	CALL(recvmsg),
	CALL(recv),
	CALL(sendmsg),
};

/* Nothing in here calls them, and whoever has got in needs them to get on. */
static const int deadly[] = {
	CALL(execve),
	CALL(execveat),
	CALL(ptrace),
	CALL(process_vm_readv),
	CALL(process_vm_writev),
	CALL(mount),
	CALL(umount2),
	CALL(pivot_root),
	CALL(chroot),
	CALL(unshare),
	CALL(setns),
	CALL(bpf),
	CALL(perf_event_open),
	CALL(userfaultfd),
	CALL(io_uring_setup),
	CALL(keyctl),
	CALL(add_key),
	CALL(request_key),
	CALL(init_module),
	CALL(finit_module),
	CALL(kexec_load),
	CALL(open_by_handle_at),
	CALL(setuid),
	CALL(setresuid),
	CALL(capset),
	CALL(pidfd_getfd),
	CALL(memfd_create),
};

/* Calls for which the C library has another way if the kernel does not know them. */
static const int unknown[] = {
	CALL(clone3), /* its flags can't be seen; clone(2) shows them */
	CALL(openat2),
};

#if SANITIZED
/* LeakSanitizer stops the threads from a process that shares their memory; all look at limits. */
static const int allowed_sanitized[] = {
	CALL(clone),
	CALL(ptrace),
	CALL(wait4),
	CALL(prctl),
	CALL(setrlimit),
	CALL(prlimit64),
	CALL(tgkill),
	CALL(kill),
	CALL(mprotect),
	CALL(mmap),
	CALL(arch_prctl),
	CALL(personality),
	CALL(process_vm_readv),
	CALL(pipe),
	CALL(capset),
};
#endif

#define LENGTH(array) (sizeof(array) / sizeof *(array))

/*
 * Not every machine has every call, and a rule that says the same again is refused: a rule that
 * can't be added leaves its call closed.
 */
static void add_all(scmp_filter_ctx filter, uint32_t action, const int *calls, size_t n)
{
	for (size_t i = 0; i < n; i++)
		(void)seccomp_rule_add(filter, action, calls[i], 0);
}

static void add_if(scmp_filter_ctx filter, int call, struct scmp_arg_cmp condition)
{
	(void)seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, call, 1, &condition);
}

/* Threads but no processes, signals to nobody else, no code that comes from data. */
static void add_conditions(scmp_filter_ctx filter)
{
	static const unsigned settings[] = {
		PR_SET_NAME, PR_GET_NAME,
		0x53564d41 /* PR_SET_VMA: malloc names its memory */
	};
	const scmp_datum_t us = (scmp_datum_t)getpid();

	add_if(filter, CALL(clone), SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
	add_if(filter, CALL(tgkill), SCMP_A0(SCMP_CMP_EQ, us));
	add_if(filter, CALL(kill), SCMP_A0(SCMP_CMP_EQ, us));
	add_if(filter, CALL(mmap), SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	add_if(filter, CALL(mmap2), SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	add_if(filter, CALL(mprotect), SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	add_if(filter, CALL(prlimit64), SCMP_A2(SCMP_CMP_EQ, 0));
	/* what a terminal is asked; none gets keys pushed into it (TIOCSTI) */
	add_if(filter, CALL(ioctl), SCMP_A1(SCMP_CMP_EQ, TCGETS));
	add_if(filter, CALL(ioctl), SCMP_A1(SCMP_CMP_EQ, TIOCGWINSZ));
	/* and, for the live view, told: how keys come. TIOCGPGRP: whether we are in front */
	add_if(filter, CALL(ioctl), SCMP_A1(SCMP_CMP_EQ, TCSETS));
	add_if(filter, CALL(ioctl), SCMP_A1(SCMP_CMP_EQ, TCSETSW));
	add_if(filter, CALL(ioctl), SCMP_A1(SCMP_CMP_EQ, TIOCGPGRP));
	add_if(filter, CALL(ioctl), SCMP_A1(SCMP_CMP_EQ, FIONREAD));
	for (size_t i = 0; i < LENGTH(settings); i++)
		add_if(filter, CALL(prctl), SCMP_A0(SCMP_CMP_EQ, settings[i]));
	/* A datagram to the service manager, by the socket that is connected to it. */
	add_if(filter, CALL(sendto), SCMP_A4(SCMP_CMP_EQ, 0));
	add_if(filter, CALL(send), SCMP_A0(SCMP_CMP_GE, 0));
}

static void add_live(scmp_filter_ctx filter)
{
	static const int families[] = { AF_PACKET, AF_NETLINK };

	add_all(filter, SCMP_ACT_ALLOW, allowed_live, LENGTH(allowed_live));
	for (size_t i = 0; i < LENGTH(families); i++)
		add_if(filter, CALL(socket), SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)families[i]));
	(void)seccomp_rule_add(filter, SCMP_ACT_ALLOW, CALL(socket), 2,
			       SCMP_A0(SCMP_CMP_EQ, AF_INET),
			       SCMP_A1(SCMP_CMP_MASKED_EQ, 0xf, SOCK_DGRAM));
	/* Of interfaces (linux/sockios.h) and of wireless ones (linux/wireless.h). */
	add_if(filter, CALL(ioctl), SCMP_A1(SCMP_CMP_MASKED_EQ, ~0xffULL, 0x8900));
	add_if(filter, CALL(ioctl), SCMP_A1(SCMP_CMP_MASKED_EQ, ~0xffULL, 0x8b00));
}

static bool load(scmp_filter_ctx filter)
{
	/* All threads; a sanitizer has one of its own by now. */
	if (seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1) < 0)
		return false;
	/*
	 * Kernels before 5.16 would slow the whole process down against Spectre, which is for
	 * those who run other people's code. What was refused is not noted (CTL_LOG): each thread
	 * that starts would be a line in the kernel's log, for the clone3 that it tries first.
	 */
	(void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_SSB, 1);
	return seccomp_load(filter) == 0;
}

enum syscalls_result syscalls_enter(bool live, bool serves)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	bool done;

	if (!filter)
		return SYSCALLS_NOT_KERNEL;
#if SANITIZED
	add_all(filter, SCMP_ACT_ALLOW, allowed_sanitized, LENGTH(allowed_sanitized));
#endif
	add_all(filter, SCMP_ACT_ALLOW, allowed, LENGTH(allowed));
	add_conditions(filter);
	if (live)
		add_live(filter);
	if (serves)
		add_all(filter, SCMP_ACT_ALLOW, allowed_serving, LENGTH(allowed_serving));
	add_all(filter, SCMP_ACT_KILL_PROCESS, deadly, LENGTH(deadly));
	add_all(filter, SCMP_ACT_ERRNO(ENOSYS), unknown, LENGTH(unknown));
	done = load(filter);
	seccomp_release(filter);
	return done ? SYSCALLS_CLOSED : SYSCALLS_NOT_KERNEL;
}
