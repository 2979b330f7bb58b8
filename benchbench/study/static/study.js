// Keys, the time that a page was shown, and pictures at full size. The pages work without this file, too.
"use strict";

const form = document.getElementById("vote");
const undo = document.getElementById("undo");
const pictures = [...form.querySelectorAll("img")];
const keys = { ArrowLeft: "left", ArrowRight: "right", ArrowDown: "draw", ArrowUp: "bad" };
let sent = false;
let shownAt = null; // when both pictures were there

function started() {
  if (shownAt === null && pictures.every((picture) => picture.complete)) shownAt = performance.now();
}

function full() {
  return document.querySelector(".full");
}

pictures.forEach((picture) => {
  picture.addEventListener("load", started);
  picture.parentElement.addEventListener("click", (event) => {
    event.preventDefault();
    const large = picture.cloneNode();
    large.classList.add("full");
    large.addEventListener("click", () => large.remove());
    document.body.append(large);
  });
});
started();

form.addEventListener("submit", (event) => {
  if (sent) return event.preventDefault(); // a second click is no second vote
  sent = true;
  if (shownAt !== null) form.elements.milliseconds.value = Math.round(performance.now() - shownAt);
});

document.addEventListener("keydown", (event) => {
  if (event.repeat || event.ctrlKey || event.altKey || event.metaKey) return;
  if (full()) {
    if (event.key === "Escape") full().remove();
    return;
  }
  if (event.key.toLowerCase() === "u" && undo && !sent) {
    sent = true;
    undo.requestSubmit();
    return;
  }
  const { target } = event; // a long prompt in focus scrolls by these keys
  if (target.className === "prompt" && target.scrollHeight > target.clientHeight && /Down|Up/.test(event.key)) return;
  const button = keys[event.key] && form.querySelector(`button[value=${keys[event.key]}]`);
  if (button && !sent) {
    event.preventDefault();
    button.click();
  }
});

// A page that the browser kept and shows again, as after Back, asks for what comes next.
window.addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload();
});
