/* SPDX-License-Identifier: MIT */
/*
 * The floor for every program that captures with libpcap: a callback that does nothing.
 *
 *   empty-loop FILE...               reads capture files; "frames N, ns/frame X"
 *   empty-loop -i INTERFACE [-B KIB] captures until INT or TERM; "frames N, received N, dropped N"
 */
#include <pcap/pcap.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* As portmeter's, so that the two can be compared. */
#define SNAPLEN 256
#define TIMEOUT_MS 100

static pcap_t *running;

static void on_signal(int number)
{
	(void)number;
	pcap_breakloop(running);
}

static void on_frame(u_char *ctx, const struct pcap_pkthdr *header, const u_char *bytes)
{
	(void)header;
	(void)bytes;
	++*(uint64_t *)(void *)ctx;
}

static int failed(const char *name, const char *text)
{
	fprintf(stderr, "empty-loop: %s: %s\n", name, text);
	return 1;
}

static int loop_file(const char *path)
{
	char text[PCAP_ERRBUF_SIZE] = "";
	struct timespec start, end;
	uint64_t frames = 0;
	pcap_t *pcap = pcap_open_offline(path, text);
	int r;

	if (!pcap)
		return failed(path, text);
	clock_gettime(CLOCK_MONOTONIC, &start);
	r = pcap_loop(pcap, -1, on_frame, (u_char *)&frames);
	clock_gettime(CLOCK_MONOTONIC, &end);
	if (r < 0)
		failed(path, pcap_geterr(pcap));
	pcap_close(pcap);
	printf("frames %llu, ns/frame %.2f\n", (unsigned long long)frames,
	       frames ? ((double)(end.tv_sec - start.tv_sec) * 1e9 +
			 (double)(end.tv_nsec - start.tv_nsec)) /
				(double)frames
		      : 0.0);
	return r < 0;
}

static int loop_interface(const char *name, int buffer_kib)
{
	struct sigaction action = { .sa_handler = on_signal };
	char text[PCAP_ERRBUF_SIZE] = "";
	struct pcap_stat stat = { 0 };
	uint64_t frames = 0;
	int r;

	running = pcap_create(name, text);
	if (!running)
		return failed(name, text);
	pcap_set_snaplen(running, SNAPLEN);
	pcap_set_promisc(running, 1);
	pcap_set_timeout(running, TIMEOUT_MS);
	if (buffer_kib)
		pcap_set_buffer_size(running, buffer_kib * 1024);
	if (pcap_activate(running) < 0) {
		failed(name, pcap_geterr(running));
		pcap_close(running);
		return 1;
	}
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	fprintf(stderr, "empty-loop: listening on %s\n", name);
	r = pcap_loop(running, -1, on_frame, (u_char *)&frames);
	if (r == PCAP_ERROR)
		failed(name, pcap_geterr(running));
	pcap_stats(running, &stat);
	printf("frames %llu, received %u, dropped %u\n", (unsigned long long)frames, stat.ps_recv,
	       stat.ps_drop);
	pcap_close(running);
	return r == PCAP_ERROR;
}

int main(int argc, char **argv)
{
	const char *interface = NULL;
	int option, buffer_kib = 0, r = 0;

	while ((option = getopt(argc, argv, "i:B:")) != -1) {
		if (option == 'i')
			interface = optarg;
		else if (option == 'B')
			buffer_kib = (int)strtol(optarg, NULL, 10);
		else
			return 2;
	}
	if (interface && optind == argc)
		return loop_interface(interface, buffer_kib);
	if (interface || optind == argc) {
		fputs("usage: empty-loop FILE... | empty-loop -i INTERFACE [-B KIB]\n", stderr);
		return 2;
	}
	for (int i = optind; i < argc; i++)
		r |= loop_file(argv[i]);
	return r;
}
