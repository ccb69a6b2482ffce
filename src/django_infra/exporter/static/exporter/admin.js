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
            const { reload } = this.status.dataset; // the state that the page was made for
            if (reload && reload !== news.state && !news.has_ended) {
                location.reload();
                return false;
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

// Columns of an export: those chosen, in their order, beside the boxes of all.
document.addEventListener("DOMContentLoaded", () => {
    const picker = document.getElementById("column-picker");
    if (!picker) return;
    const {format, order, paths} = picker.closest("form").elements;
    const search = picker.querySelector("input[type=search]");
    const list = picker.querySelector("ol");
    const boxes = new Map([...picker.querySelectorAll("input[type=checkbox]")].map((box) => [box.value, box]));
    const groups = new Map([...picker.querySelectorAll("details")].map((group) => [group, group.open]));

    const fill = (pattern, values) => pattern.replace(/\{(\w+)\}/g, (_, key) => values[key]);
    const getPath = (item) => item.querySelector("input").value;
    const findItem = (box) => [...list.children].find((item) => getPath(item) === box.value);

    function say(pattern, values) {
        picker.querySelector("[role=status]").textContent = fill(pattern, values);
    }

    function sayPlace(pattern, item) {
        const items = [...list.children];
        say(pattern, {name: item.dataset.name, place: items.indexOf(item) + 1, count: items.length});
    }

    function makeItem(box) {
        const item = picker.querySelector("template").content.firstElementChild.cloneNode(true);
        item.dataset.name = item.querySelector(".picker-name").textContent = box.dataset.header;
        item.querySelector("code").textContent = item.querySelector("input").value = box.value;
        for (const button of item.querySelectorAll("button")) {
            button.title = fill(button.dataset.label, item.dataset);
            button.setAttribute("aria-label", button.title);
        }
        return item;
    }

    function refresh() {
        picker.querySelector(".picker-empty").hidden = list.children.length > 0;
        for (const item of list.children) {
            // Disabled, a button would lose the focus.
            item.querySelector("[data-move=up]").ariaDisabled = item === list.firstElementChild;
            item.querySelector("[data-move=down]").ariaDisabled = item === list.lastElementChild;
        }
    }

    function choose(box, isChosen) {
        const item = findItem(box);
        box.checked = isChosen;
        if (isChosen && !item) list.append(makeItem(box));
        if (!isChosen && item) item.remove();
        refresh();
    }

    function move(item, direction) {
        const focused = item.contains(document.activeElement) ? document.activeElement : item;
        if (direction === "up" && item.previousElementSibling) item.previousElementSibling.before(item);
        if (direction === "down" && item.nextElementSibling) item.nextElementSibling.after(item);
        focused.focus();
        refresh();
        sayPlace(picker.dataset.moved, item);
    }

    function remove(item) {
        const next = item.nextElementSibling || item.previousElementSibling;
        choose(boxes.get(getPath(item)), false);
        (next ? next.querySelector("[data-move=out]") : search).focus();
        say(picker.dataset.removed, item.dataset);
    }

    list.addEventListener("click", (event) => {
        const button = event.target.closest("[data-move]");
        if (!button) return;
        const item = button.closest("li");
        if (button.dataset.move === "out") remove(item);
        else move(item, button.dataset.move);
    });

    list.addEventListener("keydown", (event) => {
        const direction = {ArrowUp: "up", ArrowDown: "down"}[event.key];
        if (!event.altKey || !direction) return;
        event.preventDefault();
        move(event.target.closest("li"), direction);
    });

    picker.addEventListener("change", ({target}) => {
        if (boxes.get(target.value) !== target) return;
        choose(target, target.checked);
        if (target.checked) sayPlace(picker.dataset.added, findItem(target));
        else say(picker.dataset.removed, {name: target.dataset.header});
    });

    picker.addEventListener("click", ({target}) => {
        const button = target.closest("[data-pick]");
        const found = button?.closest("details").querySelectorAll("li:not([hidden]) input") ?? [];
        for (const box of found) choose(box, button.dataset.pick === "all");
    });

    search.addEventListener("input", () => {
        const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
        for (const [group, wasOpen] of groups) {
            for (const row of group.querySelectorAll("li")) {
                const text = `${group.dataset.label} ${row.textContent}`.toLowerCase();
                row.hidden = !words.every((word) => text.includes(word));
            }
            group.hidden = !group.querySelector("li:not([hidden])");
            group.open = words.length > 0 || wasOpen;
        }
        const count = picker.querySelectorAll("details li:not([hidden])").length;
        picker.querySelector(".picker-none").hidden = count > 0;
        say(picker.dataset.found, {count});
    });

    search.addEventListener("keydown", (event) => {
        if (event.key === "Enter") event.preventDefault();
    });

    picker.closest("form").addEventListener("submit", () => {
        // One field for all of them: a server takes no more than a thousand.
        paths.value = [...list.children].map(getPath).join(" ");
        // A download leaves the page as it is.
        const started = document.getElementById("file-started");
        document.getElementById("file-news")?.replaceChildren(started.content.cloneNode(true));
    });

    function showOptions() {
        for (const part of document.querySelectorAll("[data-options-of]")) {
            part.hidden = part.dataset.optionsOf !== format.value;
        }
    }

    format.addEventListener("change", showOptions);
    showOptions();
    // From now on the list is sent, and not the boxes.
    const places = order.value.split(" ");
    [...boxes.values()].filter((box) => box.checked)
        .sort((one, other) => places.indexOf(one.value) - places.indexOf(other.value))
        .forEach((box) => choose(box, true));
    for (const box of boxes.values()) box.removeAttribute("name");
    order.value = "";
    paths.disabled = false;
    picker.querySelector(".picker-static").hidden = true;
    for (const part of picker.querySelectorAll(".picker-search, .picker-all, .picker-chosen")) part.hidden = false;
});
