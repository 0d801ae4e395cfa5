// A line between the browser and the service that can be cut, as a cable can.
import net from "node:net";

export async function openLine(target) {
    const { hostname, port } = new URL(target);
    const sockets = new Set();
    let isCut = false;
    const server = net.createServer((near) => {
        if (isCut) return near.destroy();
        const far = net.connect(Number(port), hostname);
        for (const [one, other] of [
            [near, far],
            [far, near],
        ]) {
            sockets.add(one);
            one.on("close", () => (sockets.delete(one), other.destroy()));
            one.on("error", () => one.destroy());
        }
        near.pipe(far).pipe(near);
    });
    await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
    return {
        url: `http://127.0.0.1:${server.address().port}`,
        cut() {
            isCut = true;
            for (const socket of sockets) socket.destroy();
        },
        mend() {
            isCut = false;
        },
        close() {
            this.cut();
            server.close();
        },
    };
}
