"use strict";
{
    const picker = document.getElementById("column-picker");
    const {format, order} = picker.closest("form").elements;
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
        say(picker.dataset.found, {count: picker.querySelectorAll("details li:not([hidden])").length});
    });

    search.addEventListener("keydown", (event) => {
        if (event.key === "Enter") event.preventDefault();
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
    for (const part of picker.querySelectorAll(".picker-search, .picker-all, .picker-chosen")) part.hidden = false;
}
