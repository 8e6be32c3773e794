/*
 * floor - what this machine cannot do without: bare loops to compare the broker with.
 *
 *	floor produce BYTES FILE...	receive frames, CRC-32C, append them to the FILEs in turn
 *	floor fetch BYTES FILE...	answer requests with 1 MiB of each FILE, by sendfile
 *	floor drain BYTES FILE...	the same
 *
 * The other side of the socket is a child process. Prints the CPU seconds per GB of this side. What
 * sending costs depends on the reader, which wakes and is woken. For fetch it does as librdkafka:
 * it polls, and receives into a new buffer as large as the answer. For drain it reads into one
 * small buffer and looks at nothing, as fast as it can, which no consumer does. The socket has the
 * send buffer that Kafka's default gives to a broker's.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "wire/crc32c.h"

/* The batch that librdkafka makes of 1 KiB records at batch.size=65536: never whole pages. */
#define FRAME_BYTES 65140
#define FETCH_BYTES (1024 * 1024)
#define FILES_MAX 64
#define DRAIN_BYTES (64 * 1024)
#define SEND_BUFFER_BYTES 102400

/* One for each partition. An answer to a fetch holds a chunk of each. */
struct files {
	int fds[FILES_MAX];
	off_t sizes[FILES_MAX];
	int count;
};

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
	struct sockaddr_in addr = {.sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
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
produce_server(int fd, const struct files *files, long frames)
{
	static char frame[FRAME_BYTES];
	char answer[64] = {0};
	uint32_t sum = 0;

	for (long i = 0; i < frames; i++) {
		read_all(fd, frame, sizeof(frame));
		sum ^= crc32c(0, frame, sizeof(frame));
		write_all(files->fds[i % files->count], frame, sizeof(frame));
		write_all(fd, answer, sizeof(answer));
	}
	return sum;
}

static void
create_files(struct files *files, char **paths, int count)
{
	for (int i = 0; i < count && i < FILES_MAX; i++) {
		int fd = open(paths[i], O_WRONLY | O_CREAT | O_TRUNC, 0600);

		if (fd < 0)
			die(paths[i]);
		files->fds[files->count++] = fd;
	}
}

static void
open_files(struct files *files, char **paths, int count)
{
	struct stat st;

	if (count > FILES_MAX)
		count = FILES_MAX;
	for (int i = 0; i < count; i++) {
		int fd = open(paths[i], O_RDONLY);

		if (fd < 0 || fstat(fd, &st) != 0)
			die(paths[i]);
		if (st.st_size < FETCH_BYTES) {
			close(fd);
			continue;
		}
		files->fds[files->count] = fd;
		files->sizes[files->count++] = st.st_size;
	}
	if (files->count == 0) {
		fprintf(stderr, "floor: no file holds as much as %d bytes\n", FETCH_BYTES);
		exit(1);
	}
}

/* As librdkafka takes an answer. */
static void
take_whole(int fd, size_t len)
{
	struct pollfd pfd = {.fd = fd, .events = POLLIN};
	char *answer = malloc(len);

	if (answer == NULL)
		die("malloc");
	for (size_t done = 0; done < len;) {
		ssize_t n;

		if (poll(&pfd, 1, -1) < 0)
			die("poll");
		n = recv(fd, answer + done, len - done, MSG_DONTWAIT);
		if (n <= 0)
			die("recv");
		done += (size_t)n;
	}
	free(answer);
}

static void
throw_away(int fd, size_t len)
{
	static char waste[DRAIN_BYTES];

	while (len > 0) {
		ssize_t n = read(fd, waste, len < sizeof(waste) ? len : sizeof(waste));

		if (n <= 0)
			die("read");
		len -= (size_t)n;
	}
}

static void
fetch_client(int fd, long rounds, size_t answer_bytes, bool drain)
{
	char request[64] = {0};

	for (long i = 0; i < rounds; i++) {
		write_all(fd, request, sizeof(request));
		if (drain)
			throw_away(fd, answer_bytes);
		else
			take_whole(fd, answer_bytes);
	}
}

static void
send_chunk(int fd, int file, off_t pos)
{
	for (size_t left = FETCH_BYTES; left > 0;) {
		ssize_t n = sendfile(fd, file, &pos, left);

		if (n <= 0)
			die("sendfile");
		left -= (size_t)n;
	}
}

static void
fetch_server(int fd, const struct files *files, long rounds)
{
	char request[64];

	for (long i = 0; i < rounds; i++) {
		read_all(fd, request, sizeof(request));
		for (int k = 0; k < files->count; k++) {
			long chunks = (long)(files->sizes[k] / FETCH_BYTES);

			send_chunk(fd, files->fds[k], (i % chunks) * FETCH_BYTES);
		}
	}
}

enum kind { PRODUCE, FETCH, DRAIN, KIND_COUNT };

static const char *const kind_names[KIND_COUNT] = {"produce", "fetch", "drain"};

static pid_t
start_client(int *ret_server, enum kind kind, long rounds, size_t answer_bytes)
{
	int send_buffer = SEND_BUFFER_BYTES, client;
	pid_t child;

	connect_pair(ret_server, &client);
	setsockopt(*ret_server, SOL_SOCKET, SO_SNDBUF, &send_buffer, sizeof(send_buffer));
	child = fork();
	if (child < 0)
		die("fork");
	if (child == 0) {
		close(*ret_server);
		if (kind == PRODUCE)
			produce_client(client, rounds);
		else
			fetch_client(client, rounds, answer_bytes, kind == DRAIN);
		_exit(0);
	}
	close(client);
	return child;
}

static int
usage(void)
{
	fprintf(stderr, "usage: floor produce|fetch|drain BYTES FILE...\n");
	return 2;
}

int
main(int argc, char **argv)
{
	long long bytes = argc >= 4 ? atoll(argv[2]) : 0;
	struct files files = {.count = 0};
	enum kind kind = PRODUCE;
	size_t step = FRAME_BYTES;
	int server;
	pid_t child;
	double before;
	long rounds;

	if (bytes <= 0)
		return usage();
	while (kind < KIND_COUNT && strcmp(argv[1], kind_names[kind]) != 0)
		kind++;
	if (kind == KIND_COUNT)
		return usage();
	if (kind == PRODUCE) {
		create_files(&files, argv + 3, argc - 3);
	} else {
		open_files(&files, argv + 3, argc - 3);
		step = (size_t)files.count * FETCH_BYTES;
	}
	rounds = (long)(bytes / (long long)step);
	child = start_client(&server, kind, rounds, step);
	before = cpu_seconds();
	if (kind == PRODUCE)
		produce_server(server, &files, rounds);
	else
		fetch_server(server, &files, rounds);
	printf("%.4f\n", (cpu_seconds() - before) / ((double)rounds * (double)step / 1e9));
	waitpid(child, NULL, 0);
	return 0;
}
