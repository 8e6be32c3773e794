/*
 * floor - what this machine cannot do without: bare loops to compare the broker with.
 *
 *	floor produce BYTES FILE	receive frames of 64 KiB, CRC-32C, write them to FILE
 *	floor fetch BYTES FILE		send FILE again and again with sendfile, 1 MiB at a time
 *
 * The other side of the socket is a child process. Prints the CPU seconds per GB of this side.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "wire/crc32c.h"

#define FRAME_BYTES (64 * 1024)
#define FETCH_BYTES (1024 * 1024)

static void
die(const char *what)
{
	perror(what);
	exit(1);
}

static void
read_all(int fd, void *data, size_t len)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = read(fd, (char *)data + done, len - done);

		if (n <= 0)
			die("read");
		done += (size_t)n;
	}
}

static void
write_all(int fd, const void *data, size_t len)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = write(fd, (const char *)data + done, len - done);

		if (n <= 0)
			die("write");
		done += (size_t)n;
	}
}

/* A connected pair over loopback, as a broker and its client have. */
static void
connect_pair(int *ret_server, int *ret_client)
{
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(addr);
	int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1;

	if (listener < 0 || bind(listener, (struct sockaddr *)&addr, len) != 0 ||
	    listen(listener, 1) != 0 || getsockname(listener, (struct sockaddr *)&addr, &len) != 0)
		die("listen");
	*ret_client = socket(AF_INET, SOCK_STREAM, 0);
	if (connect(*ret_client, (struct sockaddr *)&addr, len) != 0)
		die("connect");
	*ret_server = accept(listener, NULL, NULL);
	setsockopt(*ret_client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(*ret_server, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	close(listener);
}

static double
cpu_seconds(void)
{
	struct rusage ru;

	getrusage(RUSAGE_SELF, &ru);
	return (double)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) +
	       (double)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) / 1e6;
}

/* The client sends frames and waits for a small answer to each, five in flight, as producers do. */
static void
produce_client(int fd, long frames)
{
	static char frame[FRAME_BYTES];
	char answer[64];
	long in_flight = 0;

	memset(frame, 'x', sizeof(frame));
	for (long i = 0; i < frames; i++) {
		write_all(fd, frame, sizeof(frame));
		if (++in_flight == 5) {
			read_all(fd, answer, sizeof(answer));
			in_flight--;
		}
	}
	while (in_flight-- > 0)
		read_all(fd, answer, sizeof(answer));
}

static uint32_t
produce_server(int fd, int file, long frames)
{
	static char frame[FRAME_BYTES];
	char answer[64] = {0};
	uint32_t sum = 0;

	for (long i = 0; i < frames; i++) {
		read_all(fd, frame, sizeof(frame));
		sum ^= crc32c(0, frame, sizeof(frame));
		write_all(file, frame, sizeof(frame));
		write_all(fd, answer, sizeof(answer));
	}
	return sum;
}

static void
fetch_client(int fd, long rounds)
{
	static char chunk[FETCH_BYTES];
	char request[64] = {0};

	for (long i = 0; i < rounds; i++) {
		write_all(fd, request, sizeof(request));
		read_all(fd, chunk, sizeof(chunk));
	}
}

static void
fetch_server(int fd, int file, long rounds)
{
	char request[64];

	for (long i = 0; i < rounds; i++) {
		off_t pos = (i % 64) * FETCH_BYTES;

		read_all(fd, request, sizeof(request));
		for (size_t left = FETCH_BYTES; left > 0;) {
			ssize_t n = sendfile(fd, file, &pos, left);

			if (n <= 0)
				die("sendfile");
			left -= (size_t)n;
		}
	}
}

int
main(int argc, char **argv)
{
	long long bytes = argc == 4 ? atoll(argv[2]) : 0;
	int server, client, file;
	bool fetch;
	pid_t child;
	double before;
	long rounds;

	if (bytes <= 0 || (strcmp(argv[1], "produce") != 0 && strcmp(argv[1], "fetch") != 0)) {
		fprintf(stderr, "usage: floor produce|fetch BYTES FILE\n");
		return 2;
	}
	fetch = strcmp(argv[1], "fetch") == 0;
	rounds = (long)(bytes / (fetch ? FETCH_BYTES : FRAME_BYTES));
	file = open(argv[3], O_RDWR | O_CREAT | (fetch ? 0 : O_TRUNC), 0600);
	if (file < 0)
		die(argv[3]);
	if (fetch) {
		static char chunk[FETCH_BYTES];

		for (int i = 0; i < 64; i++)
			write_all(file, chunk, sizeof(chunk));
	}
	connect_pair(&server, &client);
	child = fork();
	if (child == 0) {
		close(server);
		if (fetch)
			fetch_client(client, rounds);
		else
			produce_client(client, rounds);
		_exit(0);
	}
	close(client);
	before = cpu_seconds();
	if (fetch)
		fetch_server(server, file, rounds);
	else
		produce_server(server, file, rounds);
	printf("%.4f\n", (cpu_seconds() - before) / ((double)bytes / 1e9));
	waitpid(child, NULL, 0);
	return 0;
}
