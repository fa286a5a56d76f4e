for (const [place, button] of document.querySelectorAll("#trials thead button").entries()) {
  button.addEventListener("click", () => {
    const head = button.closest("th"), body = document.querySelector("#trials tbody");
    const down = head.getAttribute("aria-sort") === "ascending";
    const of = (row) => row.cells[place].textContent.trim();
    const compare = (a, b) => {
      const [x, y] = [of(a), of(b)], [n, m] = [parseFloat(x.replace(/,/g, "")), parseFloat(y.replace(/,/g, ""))];
      if (head.classList.contains("n")) return isNaN(n) || isNaN(m) ? isNaN(n) - isNaN(m) : (n - m) * (down ? -1 : 1);
      return x.localeCompare(y) * (down ? -1 : 1);
    };
    for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    body.append(...[...body.rows].sort(compare));
  });
}
