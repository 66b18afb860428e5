/* SPDX-License-Identifier: MIT */
/* Whether a sanitizer watches this build: it looks where the program itself never does. */
#ifndef PORTMETER_SANITIZED_H
#define PORTMETER_SANITIZED_H

#ifdef __has_feature
#define HAS_FEATURE(feature) __has_feature(feature)
#else
#define HAS_FEATURE(feature) 0
#endif

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || \
	HAS_FEATURE(address_sanitizer) || HAS_FEATURE(thread_sanitizer) || \
	HAS_FEATURE(memory_sanitizer)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

#endif
