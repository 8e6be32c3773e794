"""Certificates are renewed while brokers run: of listeners, of HTTPS, and among brokers."""
import http.client
import shutil
import signal
import socket
import ssl
import subprocess
from pathlib import Path

import pytest

from cluster_load import Load, admin, check_all, make_topic, wait_whole
from conftest import Cluster, free_port, kill_all, wait_until


def new_certificates(path):
    """Of an authority of its own."""
    script = Path(__file__).resolve().parents[2] / "etc" / "make-certificates.sh"
    subprocess.run([str(script), str(path), "localhost"], check=True, capture_output=True)
    return path


@pytest.fixture
def fresh(tmp_path):
    return new_certificates(tmp_path / "fresh")


def shown(port):
    """The certificate that a new connection is shown."""
    with socket.create_connection(("127.0.0.1", port), 10) as s:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with context.wrap_socket(s) as tls:
            return tls.getpeercert(binary_form=True)


def tls_broker(make_broker, keystore, config=None):
    """broker.port is plaintext; returns the broker and the port of TLS."""
    port = free_port()
    broker = make_broker({"ssl.keystore.type": "PEM", "ssl.keystore.location": keystore,
                          **(config or {})})
    broker.settings["listeners"] = (f"PLAINTEXT://127.0.0.1:{broker.port},"
                                    f"SSL://127.0.0.1:{port}")
    return broker.start(), port


def set_keystore(broker, path):
    done = broker.klamm("config", "alter", "--entity-type", "brokers", "--entity-name", broker.id,
                        "--add-config", f"listener.name.ssl.ssl.keystore.location={path}")
    assert done.returncode == 0, done


def test_another_certificate_is_shown_once_its_setting_has_changed(make_broker, certificates, fresh):
    broker, port = tls_broker(make_broker, certificates / "broker.pem")
    before = shown(port)
    assert shown(port) == before
    set_keystore(broker, fresh / "broker.pem")
    wait_until(lambda: shown(port) != before, "the new certificate is shown")


def test_setting_the_same_file_again_reads_it_again(make_broker, certificates, fresh, tmp_path):
    file = tmp_path / "broker.pem"
    shutil.copy(certificates / "broker.pem", file)
    broker, port = tls_broker(make_broker, certificates / "broker.pem")
    set_keystore(broker, file)
    reloaded = "new connections use the certificate as it is now listener=SSL"
    wait_until(lambda: reloaded in broker.log(), "the setting is in effect")
    before = shown(port)
    shutil.copy(fresh / "broker.pem", file)
    assert shown(port) == before
    set_keystore(broker, file)
    wait_until(lambda: shown(port) != before, "the new certificate is shown")


def test_a_file_that_is_broken_leaves_the_old_certificate_in_use(make_broker, certificates, tmp_path):
    file = tmp_path / "broker.pem"
    shutil.copy(certificates / "broker.pem", file)
    broker, port = tls_broker(make_broker, file)
    before = shown(port)
    file.write_text("nothing of the kind")
    broker.process.send(signal.SIGHUP)
    wait_until(lambda: "listener=SSL" in "".join(broker.errors()), "it is told")
    assert shown(port) == before


def test_https_shows_the_new_certificate_after_sighup(make_broker, certificates, fresh, tmp_path):
    file = tmp_path / "broker.pem"
    shutil.copy(certificates / "broker.pem", file)
    broker, _ = tls_broker(make_broker, certificates / "broker.pem")
    broker.stop()
    port = free_port()
    broker.settings.update({"klamm.http.listeners": f"https://127.0.0.1:{port}",
                            "listener.name.http.ssl.keystore.location": file})
    broker.start(wait=False)

    def healthy(authority):
        try:
            context = ssl.create_default_context(cafile=authority / "ca.pem")
            page = http.client.HTTPSConnection("localhost", port, timeout=5, context=context)
            page.request("GET", "/healthz")
            return page.getresponse().read() == b"ok\n"
        except OSError:
            return False

    wait_until(lambda: healthy(certificates), "the page is there")
    shutil.copy(fresh / "broker.pem", file)
    broker.process.send(signal.SIGHUP)
    wait_until(lambda: healthy(fresh), "the new certificate is shown")
    assert not healthy(certificates)


@pytest.fixture
def mutual(tmp_path, zookeeper, certificates):
    """Three brokers that know each other by their certificates; clients come by PLAINTEXT."""
    shutil.copy(certificates / "broker.pem", tmp_path / "broker.pem")
    shutil.copy(certificates / "ca.pem", tmp_path / "ca.pem")
    c = Cluster(tmp_path, 3, {
        "inter.broker.listener.name": "SSL", "ssl.client.auth": "required",
        "ssl.keystore.location": tmp_path / "broker.pem",
        "ssl.truststore.location": tmp_path / "ca.pem"},
        zookeeper=zookeeper, chroot=f"/{tmp_path.name}")
    for broker in c.brokers:
        broker.settings["listeners"] = (f"PLAINTEXT://127.0.0.1:{broker.port},"
                                        f"SSL://localhost:{free_port()}")
    c.start()
    yield c
    kill_all(c.brokers)


def reload(cluster):
    told = "new connections use the certificate as it is now to=brokers"
    for broker in cluster.brokers:
        before = broker.log().count(told)
        broker.process.send(signal.SIGHUP)
        wait_until(lambda: broker.log().count(told) > before, "the files were read again")


def test_brokers_get_another_authority_while_they_run(mutual, certificates, fresh):
    """First all trust both, then all show the new one, then the old one is trusted no more: whoever
    still came with the old certificate would be refused."""
    folder = mutual.path
    topic = make_topic(mutual)
    load = Load(mutual, topic)
    load.wait_acked(500)
    for ca, keystore in (((certificates, fresh), certificates), ((certificates, fresh), fresh),
                         ((fresh,), fresh)):
        (folder / "ca.pem").write_text("".join((a / "ca.pem").read_text() for a in ca))
        shutil.copy(keystore / "broker.pem", folder / "broker.pem")
        reload(mutual)
        load.wait_acked(500)
    # Every link among them is made anew: to a broker, and by it.
    for broker in mutual.brokers:
        broker.restart()
        wait_whole(mutual, topic)
        load.wait_acked(500)
    renewed = ssl.PEM_cert_to_DER_cert((fresh / "broker.crt").read_text())
    for broker in mutual.brokers:
        assert shown(int(broker.settings["listeners"].rsplit(":", 1)[1])) == renewed
    check_all(mutual, topic, load)


def test_who_was_not_told_of_the_new_authority_is_kept_out(mutual, fresh):
    """The other side of the test above: the certificates among brokers are looked at."""
    lone = mutual.brokers[2]
    make_topic(mutual)
    lone.stop()
    lone.settings["ssl.keystore.location"] = fresh / "broker.pem"
    lone.settings["ssl.truststore.location"] = fresh / "ca.pem"
    lone.start(wait=False)
    wait_until(lambda: [len(p.isrs) for p in admin(mutual).list_topics("t", timeout=10)
                        .topics["t"].partitions.values()] == [2, 2, 2], "it is out of the ISRs")
    wait_until(lambda: any("error=" in line and "broker=3" in line
                           for b in mutual.brokers[:2] for line in b.log().splitlines()),
               "a controller that cannot reach it says so")
