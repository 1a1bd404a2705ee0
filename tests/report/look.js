// What the tests ask a page; given to it by the debugger, which no policy of the page's stops.
({
  boxes: () => [...document.querySelectorAll(".drawing > div")].filter(part => getComputedStyle(part).display !== "none")
    .flatMap(part => [...part.querySelectorAll("g.box")]).map(box => {
      const place = box.querySelector("rect").getBoundingClientRect(), clip = box.querySelector("svg");
      const longest = Math.max(...[...clip.querySelectorAll("text")].map(text => text.getComputedTextLength()));
      return {service: box.dataset.service || "", title: box.querySelector("text").textContent, x: place.x, y: place.y, right: place.right,
        bottom: place.bottom, spill: longest - clip.width.baseVal.value};
    }),
  shown: () => [...document.querySelectorAll(".rows tbody tr")].filter(row => row.offsetParent).map(row => row.dataset.status + " " + row.dataset.kind),
  // Elements whose content is wider than they are.
  wider: () => [...document.querySelectorAll("main *")].filter(node => node.clientWidth && node.scrollWidth > node.clientWidth + 1 && node.tagName !== "INPUT")
    .map(node => node.outerHTML.slice(0, 80)),
  // Texts whose contrast is less than WCAG 2.2 asks for (1.4.3, level AA).
  faint: () => {
    const parts = colour => colour.match(/[\d.]+/g).map(Number);
    const linear = value => value / 255 <= .04045 ? value / 255 / 12.92 : ((value / 255 + .055) / 1.055) ** 2.4;
    const luminance = colour => parts(colour).slice(0, 3).map(linear).reduce((sum, value, at) => sum + value * [.2126, .7152, .0722][at], 0);
    const behind = node => {
      for (; node; node = node.parentElement) {
        const colour = getComputedStyle(node).backgroundColor;
        if (parts(colour)[3] !== 0) return colour;
      }
      return "rgb(255, 255, 255)";
    };
    return [...document.querySelectorAll("main *")].filter(node => node.offsetParent && [...node.childNodes].some(
      child => child.nodeType === 3 && child.textContent.trim())).map(node => {
      const [low, high] = [luminance(getComputedStyle(node).color), luminance(behind(node))].sort((one, other) => one - other);
      return {what: node.tagName + " " + node.className + " " + node.textContent.slice(0, 30), ratio: (high + .05) / (low + .05)};
    }).filter(item => item.ratio < 4.5);
  },
})
