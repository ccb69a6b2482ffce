"use strict";

// Exports in progress: one small request a second for all of the page.
{
    const PERIOD = 1000; // milliseconds
    const LONGEST_PERIOD = 60000;
    const MAX_IDS = 200; // that the server answers
    const MAX_LENGTH = 3500; // of a URL, of which some servers take no more than 4000 characters

    const show = {
        state(part, news) {
            part.className = `export-badge export-badge-${news.state}`;
            part.firstElementChild.textContent = news.icon;
            part.lastElementChild.textContent = news.label;
        },
        bar(part, news) {
            if (news.percent === null && news.state === "processing") {
                part.removeAttribute("value");
            } else {
                part.value = news.percent ?? 0;
            }
        },
        download(part, news) {
            if (news.download) {
                part.href = news.download;
                part.hidden = false;
            }
        },
    };

    class Watch {
        constructor(status) {
            this.status = status;
            this.period = PERIOD;
            this.isAsking = false;
            this.parts = new Map(); // those still in progress: id to elements
            for (const part of document.querySelectorAll("[data-export]")) {
                const id = part.dataset.export;
                this.parts.set(id, [...(this.parts.get(id) ?? []), part]);
            }
            document.addEventListener("visibilitychange", () => this.ask());
            this.plan();
        }

        plan() {
            clearTimeout(this.timer);
            if (this.parts.size && !document.hidden) {
                this.timer = setTimeout(() => this.ask(), this.period);
            }
        }

        async ask() {
            if (this.isAsking || document.hidden || !this.parts.size) {
                return;
            }
            clearTimeout(this.timer);
            this.isAsking = true;
            const ids = this.choose();
            try {
                await this.fetch(ids);
                this.period = PERIOD;
            } catch {
                this.period = Math.min(this.period * 2, LONGEST_PERIOD);
            }
            this.isAsking = false;
            this.plan();
        }

        // The ids that one request holds; those after them have the next one.
        choose() {
            const ids = [];
            let length = 0;
            for (const id of this.parts.keys()) {
                length += id.length + "&id=".length;
                if (ids.length === MAX_IDS || (ids.length && length > MAX_LENGTH)) {
                    break;
                }
                ids.push(id);
            }
            return ids;
        }

        async fetch(ids) {
            const query = new URLSearchParams(ids.map((id) => ["id", id]));
            const options = { redirect: "manual", cache: "no-store" };
            const response = await fetch(`${this.status.dataset.url}?${query}`, options);
            if (response.type === "opaqueredirect" || response.status === 403) {
                this.parts.clear(); // Nobody is logged in any more, or may see this.
                return;
            }
            if (!response.ok) {
                throw new Error(`The answer is ${response.status}.`);
            }
            const { exports } = await response.json();
            const ended = ids.filter((id) => this.take(id, exports[id]));
            if (ended.length) {
                this.tell(ended.map((id) => exports[id]?.announcement ?? ""));
            }
        }

        // Show the news of one export, and say whether there will be no more.
        take(id, news) {
            const parts = this.parts.get(id);
            this.parts.delete(id);
            if (!news) {
                return true; // It was deleted.
            }
            for (const part of parts) {
                const fact = part.dataset.fact;
                if (fact in show) {
                    show[fact](part, news);
                } else {
                    part.textContent = news[fact];
                }
            }
            if (!news.has_ended) {
                this.parts.set(id, parts); // behind all others
            }
            return news.has_ended;
        }

        tell(announcements) {
            this.status.textContent = announcements.join(" ");
            if ("reload" in this.status.dataset) {
                location.reload();
            }
        }
    }

    // Select2 does not know of the label of its field.
    const nameOwnerField = () => {
        const label = document.querySelector(".export-owner label");
        const parts = document.querySelectorAll(".export-owner :is([role=combobox], [role=textbox])");
        for (const part of parts) {
            const shown = part.getAttribute("aria-labelledby") ?? part.id;
            part.setAttribute("aria-labelledby", `${label.id} ${shown}`);
        }
    };

    document.addEventListener("DOMContentLoaded", () => {
        const status = document.getElementById("export-news");
        if (status) {
            new Watch(status);
        }
        window.django?.jQuery?.(nameOwnerField); // after what the admin does when the page is there
    });
}
